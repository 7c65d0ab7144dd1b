//! Every construct of the crm shell's level `configure`, in texts of our own: what loads, and how it is shown.

use crate::Cib;
use crate::crm::{Mode, load, show};

#[track_caller]
fn shown(text: &str) -> String {
    match load(&Cib::default(), text, Mode::Replace) {
        Ok(loaded) => {
            let shown = show(&loaded.cib);
            let again = load(&Cib::default(), &shown, Mode::Replace).unwrap().cib;
            assert_eq!(show(&again), shown, "what is shown reads back as the same");
            let (back, _) = Cib::from_xml(&loaded.cib.to_xml()).unwrap();
            assert_eq!(show(&back), shown, "and so does the document");
            shown
        }
        Err(findings) => {
            let all: Vec<String> = findings.iter().map(ToString::to_string).collect();
            panic!("{text}\n{}", all.join("\n"));
        }
    }
}

/// Texts whose shown form is the text itself.
const AS_WRITTEN: &[&str] = &[
    // node
    "node alpha",
    "node alpha:remote",
    "node alpha description=\"upper rack\" attributes memory=64 utilization cpu=8",
    "node alpha attributes rule #uname eq alpha memory=64",
    // primitive
    "primitive p stonith:fence_ipmilan \\\n    params ip=192.0.2.9 pcmk_host_list=\"alpha beta\" \\\n    op start timeout=60s \\\n    op monitor interval=30m timeout=60s",
    "primitive p ocf:linbit:drbd \\\n    params drbd_resource=r0 \\\n    op monitor interval=60s role=Promoted \\\n    op monitor interval=300s role=Unpromoted",
    "primitive p ocf:heartbeat:pgsql op monitor interval=300s op_params OCF_CHECK_LEVEL=10",
    "primitive p ocf:haven:ip \\\n    params 3: rule #uname eq alpha nic=eth1 \\\n    params 2: rule #uname eq beta nic=eth2 cidr_netmask=28 \\\n    params 1: nic=eth0 cidr_netmask=24",
    "primitive p ocf:pacemaker:Dummy \\\n    op start \\\n    op_meta 2: rule #ra-version version:gt 1.0 timeout=120s \\\n    op_meta 1: timeout=60s",
    "primitive p ocf:heartbeat:Xen utilization cpu=2 memory=4096",
    // rsc_template
    "rsc_template vm ocf:heartbeat:VirtualDomain \\\n    params hypervisor=qemu:///system \\\n    op start timeout=300s \\\n    op migrate_to timeout=600s\nprimitive one @vm params config=/etc/libvirt/qemu/one.xml",
    // group, clone, bundle
    "primitive a lsb:a\nprimitive b lsb:b\ngroup g a b description=both meta target-role=Stopped",
    "primitive a lsb:a\nclone c a meta clone-node-max=1 globally-unique=false",
    "primitive a lsb:a\nclone c a meta promotable=true notify=true",
    "primitive a lsb:a\nms c a meta promoted-max=2",
    "primitive a ocf:heartbeat:apache\nbundle web docker image=web:7 replicas=3 \\\n    network host-netmask=24 ip-range-start=192.0.2.131 \\\n    port-mapping port=80 \\\n    storage \\\n    storage-mapping options=rw source-dir=/srv/www target-dir=/var/www/html \\\n    primitive a",
    // location
    "location l a 100: alpha",
    "location l { a b } 100: alpha",
    "location l /web.*/ 100: alpha",
    "location l a resource-discovery=never -inf: alpha",
    "location l a role=Promoted 100: alpha",
    "location l a rule 50: #uname eq alpha and defined pingd",
    "location l a rule -inf: not_defined pingd or pingd number:lte 0",
    "location l a rule $role=Promoted pingd: defined pingd",
    "location l a rule inf: date lt 2027-01-01",
    "location l a rule inf: date in start=2026-06-01 hours=48",
    "location l a rule inf: date spec hours=9-17 monthdays=1-7 weekdays=1-5 weeks=1-10",
    // colocation, order
    "colocation c -inf: a b",
    "colocation c inf: a:Promoted b:Started node-attribute=rack",
    "colocation c inf: a ( b c )",
    "colocation c inf: a ( b c sequential=true )",
    "order o Mandatory: a:start b",
    "order o Serialize: a ( b c )",
    "order o Mandatory: [ a b ] c symmetrical=false",
    "order o a b",
    // tickets
    "rsc_ticket r siteA: a",
    "rsc_ticket r siteA: a loss-policy=fence",
    "rsc_ticket r siteA: a:Promoted b:Promoted",
    // options
    "property no-quorum-policy=stop",
    "property nights: rule date spec hours=0-5 migration-limit=1",
    "rsc_defaults failure-timeout=3m",
    "rsc_defaults rule rsc class=ocf provider=heartbeat resource-stickiness=100",
    "op_defaults record-pending=true",
    "op_defaults rule op name=monitor timeout=40s",
    // fencing
    "fencing_topology alpha: poison power beta: ipmi,serial",
    "fencing_topology attr:rack=1: apc1,apc2",
    "fencing_topology pattern:green.*: pear apple pattern:red.*: apple pear",
    // tag
    "tag ips: a b",
    // alerts
    "alert one /usr/local/bin/tell to { /var/log/alerts }",
    "alert two /usr/local/bin/tell meta timeout=60s to { ops@example.org }",
    "alert three /usr/local/bin/tell attributes level=2 \\\n    meta timestamp-format=%H:%M select fencing attributes { pingd rack } to { a } \\\n    to { b attributes quiet=yes }",
    // access
    "role keeper \\\n    write xpath://rsc_location \\\n    read ref:vip \\\n    deny tag:nvpair attribute:value",
    "acl_target joe keeper reader",
];

#[test]
fn what_the_manual_shows_is_shown_as_written() {
    let joined = |text: &str| text.replace("\\\n    ", "");
    let differing: Vec<String> = AS_WRITTEN
        .iter()
        .map(|text| (joined(shown(text).trim_end()), joined(text)))
        .filter(|(shown, written)| shown != written)
        .map(|(shown, written)| format!("{written}\nis shown as\n{shown}"))
        .collect();
    assert!(differing.is_empty(), "{}", differing.join("\n\n"));
}

#[test]
fn other_forms_of_the_manual_become_those() {
    for (written, expected) in [
        (
            "primitive a Dummy\nmonitor a 60m:60s",
            "primitive a ocf:heartbeat:Dummy op monitor interval=60m timeout=60s",
        ),
        (
            "monitor a:Master 10s\nprimitive a Dummy op monitor interval=10s",
            "primitive a ocf:heartbeat:Dummy \\\n    op monitor interval=10s \\\n    op monitor interval=10s role=Promoted",
        ),
        ("fencing_topology poison power", "fencing_topology pattern:.*: poison power"),
        ("fencing_topology attr:rack=1 a,b", "fencing_topology attr:rack=1: a,b"),
        (
            "fencing_topology pattern:g.* a b pattern:r.* b",
            "fencing_topology pattern:g.*: a b pattern:r.*: b",
        ),
        ("order o advisory: a b", "order o Optional: a b"),
        ("order o mandatory: a b", "order o Mandatory: a b"),
        ("order o inf: a b", "order o Mandatory: a b"),
        ("order o 0: a b", "order o Optional: a b"),
        ("primitive a lsb:a op stop interval=0 timeout=9s", "primitive a lsb:a op stop timeout=9s"),
        ("tag t a b", "tag t: a b"),
        ("location l t 100: alpha", "location l t 100: alpha"),
        ("alert x /bin/tell to a@example.org", "alert x /bin/tell to { a@example.org }"),
        (
            "alert x /bin/tell to { a meta timeout=1s } b to c",
            "alert x /bin/tell to { a meta timeout=1s } to { b } to { c }",
        ),
        (
            "role r write meta:vip:target-role read status",
            "role r write \"xpath://*[@id='vip']/meta_attributes/nvpair[@name='target-role']\" read xpath:/cib/status",
        ),
        ("user joe role:a role:b", "acl_target joe a b"),
        (
            "user joe read property:cluster-name role:a",
            "role joe-rules read \"xpath://crm_config//nvpair[@name='cluster-name']\"\nacl_target joe a joe-rules",
        ),
        (
            "primitive a lsb:a meta priority=5\nprimitive b lsb:b meta $id-ref=a",
            "primitive a lsb:a meta priority=5\nprimitive b lsb:b meta priority=5",
        ),
        (
            "primitive a lsb:a params $id=shared x=1\ngroup g a params $id-ref=shared",
            "primitive a lsb:a params $id=shared x=1\ngroup g a params x=1",
        ),
        (
            "primitive a lsb:a operations $id=ops op monitor interval=5s\nprimitive b lsb:b operations $id-ref=ops\nprimitive c lsb:c operations $id-ref=a op stop timeout=9s",
            "primitive a lsb:a op monitor interval=5s\nprimitive b lsb:b op monitor interval=5s\nprimitive c lsb:c op monitor interval=5s op stop timeout=9s",
        ),
    ] {
        let joined = |text: &str| text.replace("\\\n    ", "");
        assert_eq!(joined(shown(written).trim_end()), joined(expected), "{written}");
    }
}

#[test]
fn a_reference_or_monitor_that_names_nothing_is_refused_with_its_place() {
    for (text, code, line) in [
        ("primitive a lsb:a meta priority=5\nprimitive b lsb:b meta $id-ref=aa", "HV0205", 2),
        ("primitive a lsb:a operations $id-ref=none", "HV0205", 1),
        ("primitive web lsb:a\nmonitor wbe 10s", "HV0201", 2),
        ("primitive a lsb:a\nmonitor a soon", "HV0109", 2),
        ("alert a /bin/x selct nodes", "HV0103", 1),
        ("alert a /bin/x to { b", "HV0102", 1),
        ("role r wirte ref:a", "HV0103", 1),
        ("role r write", "HV0103", 1),
    ] {
        let findings = load(&Cib::default(), text, Mode::Replace).unwrap_err();
        assert_eq!((findings[0].code.as_str(), findings[0].line), (code, Some(line)), "{text}");
        assert!(findings[0].remedy.is_some(), "{text}");
    }
}

#[test]
fn a_reference_may_name_what_is_in_force() {
    let base =
        load(&Cib::default(), "primitive a lsb:a meta priority=5", Mode::Replace).unwrap().cib;
    let loaded =
        load(&base, "primitive b lsb:b meta $id-ref=a\nmonitor a 7s", Mode::Update).unwrap();
    assert_eq!(
        show(&loaded.cib),
        "primitive a lsb:a meta priority=5 op monitor interval=7s\nprimitive b lsb:b meta priority=5\n"
    );
}
