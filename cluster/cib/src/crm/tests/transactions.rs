//! Loading changes exactly what the text says, or nothing.

use crate::crm::{Mode, load, show};
use crate::{Cib, Resource, Version};

const BASE: &str = "\
# keep me
primitive vip ocf:haven:ip params ip=192.0.2.10 op monitor interval=10s
primitive web systemd:nginx op monitor interval=10s
group site vip web
location l1 site 100: n1
property no-quorum-policy=stop cluster-name=demo
";

fn base() -> Cib {
    let mut cib = load(&Cib::default(), BASE, Mode::Replace).unwrap().cib;
    cib.version = Version { admin_epoch: 0, epoch: 7, num_updates: 1 };
    cib
}

fn update(cib: &Cib, text: &str) -> (Cib, Vec<String>) {
    let loaded = load(cib, text, Mode::Update).unwrap();
    (loaded.cib, loaded.changed)
}

#[test]
fn an_update_touches_only_what_it_names() {
    let (cib, changed) = update(&base(), "primitive web systemd:apache2 op monitor interval=10s");
    assert_eq!(changed, ["web"]);
    assert_eq!(show(&cib), BASE.replace("systemd:nginx", "systemd:apache2"));
    assert_eq!(cib.version.epoch, 7, "the version is the business of who commits");
    let (cib, changed) = update(&base(), "property no-quorum-policy=freeze maintenance-mode=true");
    assert_eq!(changed, ["property"]);
    assert_eq!(cib.option("cluster-name"), Some("demo"));
    assert_eq!(cib.option("no-quorum-policy"), Some("freeze"));
}

#[test]
fn the_same_text_again_changes_nothing() {
    let base = base();
    for mode in [Mode::Update, Mode::Replace] {
        let loaded = load(&base, BASE, mode).unwrap();
        assert_eq!((loaded.cib, loaded.changed), (base.clone(), Vec::<String>::new()));
    }
}

#[test]
fn groups_take_and_release_members() {
    let (cib, changed) = update(&base(), "primitive db lsb:db\ngroup site web db");
    assert_eq!(changed, ["db", "site"]);
    assert!(matches!(&cib.resources[0], Resource::Primitive(vip) if vip.id == "vip"));
    let Resource::Group(site) = &cib.resources[1] else { panic!("{:?}", cib.resources) };
    let members: Vec<&str> = site.members.iter().map(|member| member.id.as_str()).collect();
    assert_eq!(members, ["web", "db"]);
}

#[test]
fn replacing_removes_what_is_not_named_but_never_a_node() {
    let mut cib = base();
    cib.put_node(crate::Node { id: "1".into(), uname: "n1".into(), ..crate::Node::default() });
    cib.set_node_attribute("n1", "standby", Some("on")).unwrap();
    let loaded = load(&cib, "primitive other lsb:x", Mode::Replace).unwrap();
    assert_eq!(show(&loaded.cib), "node 1: n1 attributes standby=on\nprimitive other lsb:x\n");
    assert_eq!(loaded.changed, ["other", "vip", "web", "site", "l1", "property"]);
    let loaded = load(&cib, "node n1 attributes rack=a", Mode::Replace).unwrap();
    assert_eq!(show(&loaded.cib), "node 1: n1 attributes rack=a\n", "the node keeps its number");
}

#[test]
fn one_error_anywhere_and_nothing_changes() {
    let base = base();
    let text = "primitive new lsb:x\ngroup site vip web new\nlocation l2 site 1o0: n1";
    let findings = load(&base, text, Mode::Update).unwrap_err();
    assert_eq!(findings.len(), 1);
    assert_eq!(show(&base), BASE);
}

#[test]
fn ids_inside_objects_survive_an_update_that_says_the_same() {
    let document = r#"<cib><configuration><resources>
        <primitive id="a" class="lsb" type="b"><operations><op id="odd" name="monitor" interval="5s"/></operations>
        <meta_attributes id="m"><nvpair id="odd-too" name="priority" value="5"/></meta_attributes></primitive>
      </resources></configuration></cib>"#;
    let (cib, _) = Cib::from_xml(document).unwrap();
    let (same, changed) = update(&cib, &show(&cib));
    assert_eq!((same, changed), (cib, Vec::<String>::new()));
}

#[test]
fn a_changed_comment_is_a_change() {
    let (cib, changed) = update(&base(), &BASE.replace("# keep me", "# changed"));
    assert_eq!(changed, ["vip"]);
    assert!(show(&cib).starts_with("# changed\nprimitive vip"));
    let (cib, changed) = update(&base(), &BASE.replace("# keep me\n", ""));
    assert_eq!(changed, Vec::<String>::new(), "a line without comment keeps the comment");
    assert!(show(&cib).starts_with("# keep me\n"));
}
