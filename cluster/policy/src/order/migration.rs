//! Live migration.

use crate::world::action::af;
use crate::world::{A, N, R, World, ar};

impl World<'_> {
    pub(super) fn can_migrate(&self, r: R, current: Option<N>) -> bool {
        let rsc = &self[r];
        rsc.migratable
            && rsc.managed
            && !rsc.failed
            && !rsc.start_pending
            && current.is_some_and(|n| !self[n].unclean)
            && rsc.assigned.is_some_and(|n| !self[n].unclean)
    }

    fn migration_meta(&mut self, a: A, from: N, to: N) {
        let (from, to) = (self[from].name.clone(), self[to].name.clone());
        self[a].set_meta("migrate_source", from);
        self[a].set_meta("migrate_target", to);
    }

    pub(super) fn create_migration(&mut self, r: R, from: N) {
        let Some(to) = self[r].assigned else { return };
        let start = self.start_action(r, to);
        let stop = self.stop_action(r, from, true);
        let begun = self[r].migration_target.is_some();
        let migrate_to = (!begun).then(|| {
            self.custom_action(
                Some(r),
                "migrate_to".into(),
                0,
                "migrate_to".into(),
                Some(from),
                true,
            )
        });
        let migrate_from = self.custom_action(
            Some(r),
            "migrate_from".into(),
            0,
            "migrate_from".into(),
            Some(to),
            true,
        );
        self[start].set(af::MIGRATABLE | af::PSEUDO);
        self[stop].set(af::MIGRATABLE);
        self[migrate_from].set(af::MIGRATABLE);
        let needs = self[start].needs;
        let blocks = ar::ORDERED | ar::UNMIGRATABLE_THEN_BLOCKS;
        match migrate_to {
            Some(m) => {
                self[m].set(af::MIGRATABLE);
                self[m].needs = needs;
                self.order(r, "monitor", r, "migrate_to", ar::ORDERED);
                self.order(r, "migrate_to", r, "migrate_from", blocks);
            }
            None => {
                self[migrate_from].needs = needs;
                self.order(r, "monitor", r, "migrate_from", ar::ORDERED);
            }
        }
        self.order(r, "migrate_from", r, "stop", blocks);
        self.order(r, "migrate_from", r, "start", blocks | ar::FIRST_ELSE_THEN);
        if let Some(m) = migrate_to {
            self.migration_meta(m, from, to);
            if !self[r].is_remote_connection {
                self[m].set_meta("record-pending", "true");
            }
        }
        self.migration_meta(migrate_from, from, to);
    }
}
