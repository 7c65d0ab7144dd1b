//! What is shown reads back as the same, for every notation.

use crate::Cib;
use crate::crm::{Mode, load, show};

/// One of everything, in the form that `show` prints.
pub(super) const EVERYTHING: &str = r##"# the first node
node 1: n1 attributes rack=a standby=off utilization cpu=8 memory=16384
node n2:remote
rsc_template vm ocf:heartbeat:VirtualDomain \
    params migration_transport=ssh \
    meta allow-migrate=true \
    op start timeout=90s
primitive guest @vm description="a guest, \"the\" guest" params config="/etc/vm/guest 1.xml"
# the address
# of the service
primitive vip ocf:haven:ip \
    params ip=192.0.2.10 cidr_netmask=24 nic=eth0 \
    meta requires=lease target-role=Started \
    op monitor interval=10s
primitive web systemd:nginx \
    params $id=web-special 100: rule #uname eq n1 port=80 \
    params port=8080 \
    op monitor interval=10s timeout=30s \
    op_params OCF_CHECK_LEVEL=10 \
    op monitor interval=11s on-fail=standby role=Promoted \
    op stop interval=0s timeout=60s
group site vip web description="all of it" meta resource-stickiness=100
primitive ping ocf:pacemaker:ping params host_list="192.0.2.1 192.0.2.2" op monitor interval=10s
clone pings ping meta interleave=true
primitive db ocf:heartbeat:pgsql op monitor interval=10s
ms db-ms db meta promoted-max=1
primitive inside ocf:heartbeat:apache op monitor interval=10s
bundle httpd podman image=pcmk:httpd replicas=3 \
    network host-netmask=24 ip-range-start=192.0.2.131 \
    port-mapping port=80 \
    storage \
    storage-mapping options=rw source-dir-root=/var/log target-dir=/etc/httpd \
    primitive inside
location l1 site 100: n1
location l2 /db.*/ resource-discovery=never -inf: n2
location l3 pings role=Promoted \
    rule $role=Promoted 100: #uname eq n1 and ( defined pingd or pingd number:gte 1000 ) \
    rule -inf: not_defined pingd or pingd lte 0 \
    rule pingd: defined pingd
location l4 { vip web } 50: n1
location l5 web \
    rule inf: date in start=2026-01-01 end=2026-12-31 and date spec hours=9-17 weekdays=1-5
location l6 web rule inf: date gt 2026-01-01 and "date" eq or
colocation c1 inf: vip db-ms:Promoted
colocation c2 -100: ( a b sequential=true ) node-attribute=rack
colocation c3 inf: a b c ( d e ) f:Promoted g:Promoted
order o1 Mandatory: db-ms:promote site:start
order o2 Optional: a b symmetrical=false
order o3 Serialize: ( a b ) [ c d ] e
order o4 Mandatory: a:start b c:stop
rsc_ticket t1 ticketA: db-ms:Promoted loss-policy=demote
rsc_ticket t2 ticketB: a b c loss-policy=stop
tag all: vip web
fencing_topology n1: poison,power ipmi pattern:green.*: power attr:rack=1: pdu
property no-quorum-policy=stop fencing-enabled=false cluster-name=demo
property extra: 10: rule #is_dc eq true priority-fencing-delay=15s
rsc_defaults resource-stickiness=1 migration-threshold=3
rsc_defaults nights: rule date spec hours=0-5 and rsc class=ocf failure-timeout=1h
op_defaults timeout=30s
alert mail /usr/local/bin/mail select nodes attributes { pingd } to { root meta timeout=30s }
xml '<alert id="odd" path="/usr/local/bin/mail"><recipient id="mail-1" value="root"/></alert>'
role operator \
    write "xpath://*[@id='vip']/meta_attributes" \
    read tag:primitive ref:web attribute:class
acl_target alice operator
# the end
"##;

#[track_caller]
fn read(text: &str) -> Cib {
    match load(&Cib::default(), text, Mode::Replace) {
        Ok(loaded) => loaded.cib,
        Err(findings) => {
            let all: Vec<String> = findings.iter().map(ToString::to_string).collect();
            panic!("{}", all.join("\n"));
        }
    }
}

#[test]
fn everything_is_shown_as_it_was_written() {
    let cib = read(EVERYTHING);
    let shown = show(&cib);
    for (shown, written) in shown.lines().zip(EVERYTHING.lines()) {
        assert_eq!(shown, written);
    }
    assert_eq!(shown, EVERYTHING);
    assert_eq!(read(&shown), cib);
}

#[test]
fn what_went_through_xml_is_shown_the_same_but_for_comments() {
    let mut cib = read(EVERYTHING);
    cib.comments.clear();
    let (back, _) = Cib::from_xml(&cib.to_xml()).unwrap();
    assert_eq!(show(&back), show(&cib));
}

#[test]
fn other_spellings_mean_the_same() {
    for (written, shown) in [
        ("primitive a Dummy", "primitive a ocf:heartbeat:Dummy"),
        ("primitive a ocf:haven:ip ip=192.0.2.1", "primitive a ocf:haven:ip params ip=192.0.2.1"),
        ("primitive a systemd:x@y:z", "primitive a systemd:x@y:z"),
        (
            "primitive 'a' \"lsb:b\" op monitor role=Master",
            "primitive a lsb:b op monitor role=Promoted",
        ),
        (
            "primitive a lsb:b op monitor OCF_CHECK_LEVEL=10 interval=1s",
            "primitive a lsb:b op monitor interval=1s op_params OCF_CHECK_LEVEL=10",
        ),
        ("property stonith-enabled=false", "property fencing-enabled=false"),
        ("location l a INFINITY: n1", "location l a inf: n1"),
        ("location l {a b} +5: n1", "location l { a b } 5: n1"),
        ("colocation c inf: a with b", "colocation c inf: a b"),
        ("collocation c INF: a:Master b", "colocation c inf: a:Promoted b"),
        ("order o a b", "order o a b"),
        ("order o Mandatory: (a b) c", "order o Mandatory: ( a b ) c"),
        ("order o a:promote b:start c:start", "order o a:promote b:start c:start"),
        ("tag t a b", "tag t: a b"),
        ("rsc_ticket r t: a loss=fence", "rsc_ticket r t: a loss-policy=fence"),
        ("node $id=7 n1", "node 7: n1"),
        ("node n1 standby=on", "node n1 attributes standby=on"),
        (
            "location l a rule 1: #uname string:eq \"n 1\"",
            "location l a rule 1: #uname string:eq \"n 1\"",
        ),
        ("xml '<rsc_location id=\"l\" rsc=\"a\" node=\"n1\" score=\"5\"/>'", "location l a 5: n1"),
    ] {
        assert_eq!(show(&read(written)).trim_end(), shown, "from {written}");
    }
}

#[test]
fn what_has_no_notation_is_shown_as_xml_and_read_back() {
    let document = r#"<cib><configuration>
      <resources><primitive id="a" class="ocf" provider="heartbeat" type="Dummy"/></resources>
      <constraints>
        <rsc_location id="l" rsc="a" node="n1" score="5"><lifetime><rule id="r"><date_expression id="d" operation="lt" end="2027-01-01"/></rule></lifetime></rsc_location>
        <rsc_colocation id="c" rsc="a" rsc-instance="1" with-rsc="a" score="INFINITY"/>
      </constraints>
      <fencing-topology><fencing-level id="f" target="n1" index="3" devices="x"/></fencing-topology>
    </configuration></cib>"#;
    let (cib, _) = Cib::from_xml(document).unwrap();
    let shown = show(&cib);
    assert_eq!(shown.lines().filter(|line| line.starts_with("xml ")).count(), 3, "{shown}");
    assert_eq!(show(&read(&shown)), shown);
    assert_eq!(read(&shown).constraints, cib.constraints);
    assert_eq!(read(&shown).fencing_topology, cib.fencing_topology);
}

#[test]
fn leftovers_of_other_programs_can_be_shown_and_read() {
    let document = r#"<cib><configuration>
      <nodes><node id="1" uname="n1" score="100"/></nodes>
      <op_defaults><meta_attributes id="op-options"/></op_defaults>
      <resources><primitive id="a" class="ocf" provider="heartbeat" type="Dummy">
        <meta_attributes id="m"><nvpair id="m1" name="priority" value="1"/><nvpair id="m2" name="priority" value="2"/></meta_attributes>
      </primitive></resources>
      <constraints>
        <rsc_order id="o" first="a" then="a" kind="foo"/>
        <rsc_location id="l" rsc="a" node="n1" score="+INFINITY" role="Master"/>
      </constraints></configuration></cib>"#;
    let (cib, _) = Cib::from_xml(document).unwrap();
    let shown = show(&cib);
    assert_eq!(
        shown,
        r#"xml '<node id="1" uname="n1" score="100"/>'
primitive a ocf:heartbeat:Dummy meta $id=m priority=1
xml '<rsc_order id="o" first="a" then="a" kind="foo"/>'
location l a role=Promoted inf: n1
op_defaults op-options:
"#
    );
    assert_eq!(show(&read(&shown)), shown);
}

#[test]
fn a_cloned_group_of_six_takes_two_lines() {
    let members: Vec<String> =
        (1..=6).map(|n| format!("primitive p{n} ocf:heartbeat:Dummy")).collect();
    let text = format!("{}\ngroup g p1 p2 p3 p4 p5 p6\nclone c g\n", members.join("\n"));
    let cib = read(&text);
    assert_eq!(cib.resources.len(), 1);
    assert_eq!(cib.resources[0].primitives().len(), 6);
    assert_eq!(show(&cib), text);
}

#[test]
fn a_set_of_two_is_not_mistaken_for_a_pair() {
    let document = r#"<cib><configuration><constraints>
        <rsc_colocation id="c" score="INFINITY"><resource_set id="c-0">
          <resource_ref id="a"/><resource_ref id="b"/></resource_set></rsc_colocation>
      </constraints></configuration></cib>"#;
    let (cib, _) = Cib::from_xml(document).unwrap();
    let again = read(&show(&cib));
    let crate::Constraint::Colocation(colocation) = &again.constraints[0] else { panic!() };
    assert_eq!(colocation.sets[0].members, ["a", "b"]);
    assert_eq!(colocation.sets[0].sequential.as_deref(), Some("true"));
}
