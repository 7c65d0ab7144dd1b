//! What the configuration says of a resource, its template included.

use std::collections::BTreeMap;
use std::rc::Rc;

use haven_cib::{Group, NvSet, Operation, Primitive};

use crate::world::resource::OpConfig;
use crate::world::{Config, World, values};

impl World<'_> {
    pub(super) fn composed_config(&self, id: &str, meta: &[NvSet], params: &[NvSet]) -> Rc<Config> {
        Rc::new(Config {
            id: id.to_owned(),
            meta: meta.to_vec(),
            params: params.to_vec(),
            ..Config::default()
        })
    }

    pub(super) fn group_config(
        &mut self,
        g: &Group,
        templates: &[Primitive],
    ) -> (Rc<Config>, Vec<Rc<Config>>) {
        let config = self.composed_config(&g.id, &g.meta, &g.params);
        let members =
            g.members.iter().filter_map(|m| self.primitive_config(m, templates)).collect();
        (config, members)
    }

    /// A primitive with what it takes from its template.
    pub(super) fn primitive_config(
        &mut self,
        p: &Primitive,
        templates: &[Primitive],
    ) -> Option<Rc<Config>> {
        let Some(name) = p.template.clone() else { return Some(Rc::new(config_of(p))) };
        let mut p = p.clone();
        if name == p.id || !merge_template(&mut p, templates) {
            return None;
        }
        self.templates.entry(name).or_default().push(p.id.clone());
        Some(Rc::new(config_of(&p)))
    }
}

pub(crate) fn is_remote_config(c: &Config) -> bool {
    let is = |v: &Option<String>, w: &str| v.as_deref().is_some_and(|v| v.eq_ignore_ascii_case(w));
    is(&c.class, "ocf") && is(&c.provider, "pacemaker") && is(&c.kind, "remote")
}

pub(super) fn promotable_set(id: &str) -> NvSet {
    NvSet {
        id: format!("{id}-promotable"),
        pairs: vec![haven_cib::NvPair {
            id: None,
            name: "promotable".into(),
            value: Some("true".into()),
        }],
        ..NvSet::default()
    }
}

/// Adds values that are not there yet; `#default` stands for none.
pub(super) fn inherit(map: &mut BTreeMap<String, String>, from: &BTreeMap<String, String>) {
    for (k, v) in from {
        if !v.eq_ignore_ascii_case("#default") && !map.contains_key(k) {
            map.insert(k.clone(), v.clone());
        }
    }
}

/// Completes a primitive from its template; false where there is none of that name.
pub(super) fn merge_template(p: &mut Primitive, templates: &[Primitive]) -> bool {
    let Some(name) = p.template.as_deref() else { return true };
    let Some(t) = templates.iter().find(|t| t.id == name) else { return false };
    p.class.clone_from(&t.class);
    p.provider.clone_from(&t.provider);
    p.kind.clone_from(&t.kind);
    let join = |own: &mut Vec<NvSet>, from: &Vec<NvSet>| {
        let mut sets = from.clone();
        sets.append(own);
        *own = sets;
    };
    join(&mut p.meta, &t.meta);
    join(&mut p.params, &t.params);
    join(&mut p.utilization, &t.utilization);
    let key = |o: &Operation| {
        let role = o.options.get("role").map(String::as_str).unwrap_or("Unknown");
        let plain = ["Started", "Unpromoted", "Slave"].iter().any(|r| role.eq_ignore_ascii_case(r));
        (o.name.clone(), if plain { "Unknown".to_owned() } else { role.to_owned() })
    };
    let own: Vec<_> = p.operations.iter().map(key).collect();
    p.operations.extend(t.operations.iter().filter(|o| !own.contains(&key(o))).cloned());
    true
}

/// A primitive's configuration as the engine keeps it.
pub(crate) fn config_of(p: &Primitive) -> Config {
    let ops = p
        .operations
        .iter()
        .map(|o| {
            let own = [("name", Some(&o.name)), ("interval", o.interval.as_ref())];
            let own = own.into_iter().filter_map(|(k, v)| Some((k, v?)));
            let others = o.options.iter().map(|(k, v)| (k.as_str(), v));
            let others = others.filter(|(k, _)| *k != "name" && *k != "interval");
            let attrs = own.chain(others).map(|(k, v)| (k.to_owned(), v.clone())).collect();
            OpConfig {
                id: o.id.clone(),
                name: o.name.clone(),
                interval_ms: values::interval(o.interval.as_deref()),
                attrs,
                meta: o.meta.clone(),
                params: o.params.clone(),
            }
        })
        .collect();
    Config {
        id: p.id.clone(),
        class: p.class.clone(),
        provider: p.provider.clone(),
        kind: p.kind.clone(),
        meta: p.meta.clone(),
        params: p.params.clone(),
        ops,
        utilization: p.utilization.clone(),
    }
}
