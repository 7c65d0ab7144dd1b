//! Chains and nets of colocations. Builds with assertions add scores up twice, at once and one by one, and compare.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::fmt::Write;

use haven_base::WallTime;
use haven_cib::Cib;
use haven_policy::{Options, schedule};

/// Numbers that are the same on every machine.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or(0) % limit.max(1)
    }

    fn of<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len())]
    }
}

/// Resources, some in groups, that follow each other by `follow(i)`, with random preferences.
fn cluster(
    dice: &mut Dice,
    nodes: usize,
    count: usize,
    follow: impl Fn(&mut Dice, usize) -> Option<usize>,
) -> String {
    const SCORES: [&str; 8] =
        ["INFINITY", "-INFINITY", "100", "-50", "1", "600000", "-700000", "0"];
    let (mut members, mut resources) = (String::new(), String::new());
    for n in 0..nodes {
        writeln!(members, r#"<node id="{n}" uname="n{n}"/>"#).unwrap();
    }
    let mut constraints = String::new();
    for i in 0..count {
        let primitive = |id: &str| {
            format!(r#"<primitive id="{id}" class="ocf" provider="pacemaker" type="Dummy"/>"#)
        };
        if dice.below(8) == 0 {
            let inner = primitive(&format!("r{i}a")) + &primitive(&format!("r{i}b"));
            writeln!(resources, r#"<group id="r{i}">{inner}</group>"#).unwrap();
        } else {
            resources.push_str(&primitive(&format!("r{i}")));
        }
        for k in 0..dice.below(3) {
            let (n, score) = (dice.below(nodes), dice.of(&SCORES));
            writeln!(
                constraints,
                r#"<rsc_location id="l{i}-{k}" rsc="r{i}" node="n{n}" score="{score}"/>"#
            )
            .unwrap();
        }
        if let Some(other) = follow(dice, i) {
            let score = if dice.below(6) == 0 { dice.of(&SCORES) } else { "INFINITY" };
            writeln!(
                constraints,
                r#"<rsc_colocation id="c{i}" rsc="r{i}" with-rsc="r{other}" score="{score}"/>"#
            )
            .unwrap();
        }
    }
    let mut states = String::new();
    for n in 0..nodes {
        let standby = if n > 1 && dice.below(5) == 0 { "0" } else { "1" };
        writeln!(
            states,
            r#"<node_state id="{n}" uname="n{n}" in_ccm="{standby}" crmd="online" join="member" expected="member"/>"#
        )
        .unwrap();
    }
    format!(
        r#"<cib have-quorum="1" execution-date="1700000000"><configuration><crm_config><cluster_property_set id="o">
<nvpair id="o1" name="stonith-enabled" value="false"/></cluster_property_set></crm_config>
<nodes>{members}</nodes><resources>{resources}</resources><constraints>{constraints}</constraints>
</configuration><status>{states}</status></cib>"#
    )
}

fn placed(text: &str) -> usize {
    let (cib, status) = Cib::from_xml(text).unwrap();
    let now = WallTime::from_seconds(1_700_000_000);
    schedule(&cib, &status, now, &Options::default()).placements.len()
}

#[test]
fn sums_of_wishes_are_what_adding_one_by_one_gives() {
    let mut dice = Dice(7);
    let mut all = 0;
    for _ in 0..60 {
        let chain = cluster(&mut dice, 5, 30, |_, i| i.checked_sub(1));
        let tree = cluster(&mut dice, 5, 30, |dice, i| (i > 0).then(|| dice.below(i)));
        let net = cluster(&mut dice, 5, 30, |dice, i| Some(dice.below(30)).filter(|o| *o != i));
        all += placed(&chain) + placed(&tree) + placed(&net);
    }
    assert!(all > 500, "only {all} could be placed");
}

#[test]
fn a_long_chain_stays_together() {
    let mut dice = Dice(8);
    let mut text = cluster(&mut dice, 3, 0, |_, _| None);
    let (mut resources, mut constraints) = (String::new(), String::new());
    for i in 0..400 {
        write!(
            resources,
            r#"<primitive id="r{i}" class="ocf" provider="pacemaker" type="Dummy"/>"#
        )
        .unwrap();
        write!(
            constraints,
            r#"<rsc_colocation id="c{i}" rsc="r{i}" with-rsc="r{}" score="INFINITY"/>"#,
            i + 1
        )
        .unwrap();
    }
    resources.push_str(r#"<primitive id="r400" class="ocf" provider="pacemaker" type="Dummy"/>"#);
    constraints.push_str(r#"<rsc_location id="l" rsc="r0" node="n1" score="1"/>"#);
    text = text.replace("<resources>", &format!("<resources>{resources}"));
    text = text.replace("<constraints>", &format!("<constraints>{constraints}"));
    let (cib, status) = Cib::from_xml(&text).unwrap();
    let now = WallTime::from_seconds(1_700_000_000);
    let placements = schedule(&cib, &status, now, &Options::default()).placements;
    assert_eq!(placements.len(), 401);
    assert!(placements.iter().all(|p| p.node == "n1"), "the wish of the last reaches the first");
}
