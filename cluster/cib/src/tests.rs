#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use super::*;

const SMALL: &str = r#"<cib admin_epoch="1" epoch="2" num_updates="3" have-quorum="1" dc-uuid="1">
  <configuration>
    <crm_config><cluster_property_set id="cib-bootstrap-options">
      <nvpair id="o1" name="stonith-enabled" value="false"/></cluster_property_set></crm_config>
    <nodes><node id="1" uname="n1"/></nodes>
    <resources>
      <primitive id="vip" class="ocf" provider="haven" type="ip">
        <instance_attributes id="vip-p"><nvpair id="vip-ip" name="ip" value="192.0.2.1"/></instance_attributes>
        <operations><op id="vip-m" name="monitor" interval="10s" timeout="20s"/></operations>
      </primitive>
    </resources>
    <constraints><rsc_location id="l1" rsc="vip" node="n1" score="100"/></constraints>
  </configuration>
  <status><node_state id="1" uname="n1" in_ccm="1700000000" crmd="online" join="member" expected="member">
    <transient_attributes id="1"><instance_attributes id="s"><nvpair id="s1" name="standby" value="on"/></instance_attributes></transient_attributes>
    <lrm id="1"><lrm_resources><lrm_resource id="vip" class="ocf" provider="haven" type="ip">
      <lrm_rsc_op id="vip_last_0" operation="start" operation_key="vip_start_0" call-id="5" rc-code="0" op-status="0" interval="0"/>
    </lrm_resource></lrm_resources></lrm></node_state></status>
</cib>"#;

#[test]
fn a_document_survives_writing_and_reading() {
    let (cib, status) = Cib::from_xml(SMALL).unwrap();
    assert_eq!(cib.option("fencing-enabled"), Some("false"));
    assert_eq!(status.nodes[0].resources[0].operations[0].call_id, 5);
    assert_eq!(status.quorate, Some(true));
    let text = cib.to_xml_with(&status);
    assert_eq!(Cib::from_xml(&text).unwrap(), (cib, status));
}

#[test]
fn an_unknown_element_is_refused_with_its_line() {
    let text = SMALL.replace("<resources>", "<resources>\n<primitve id=\"x\"/>");
    let error = Cib::from_xml(&text).unwrap_err();
    assert!(error.to_string().contains("<primitve> in <resources>"), "{error}");
}

#[test]
fn removing_a_resource_takes_its_constraints_along() {
    let (mut cib, _) = Cib::from_xml(SMALL).unwrap();
    cib.remove_resource("vip").unwrap();
    assert!(cib.constraints.is_empty());
    assert!(cib.remove_resource("vip").is_err());
}

#[test]
fn meta_attributes_and_node_attributes_are_set_and_unset() {
    let (mut cib, _) = Cib::from_xml(SMALL).unwrap();
    let before = cib.clone();
    cib.set_meta("vip", "target-role", Some("Stopped")).unwrap();
    cib.set_node_attribute("n1", "standby", Some("on")).unwrap();
    assert_eq!(cib.resources[0].meta()[0].pairs[0].value.as_deref(), Some("Stopped"));
    cib.set_meta("vip", "target-role", None).unwrap();
    cib.set_node_attribute("n1", "standby", None).unwrap();
    assert_eq!(cib, before);
}
