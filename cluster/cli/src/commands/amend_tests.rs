use super::*;

#[test]
fn a_program_gets_the_lines_and_what_it_prints_is_taken() {
    assert_eq!(through("tr a-z A-Z", "primitive a\n").unwrap(), "PRIMITIVE A\n");
    // One that reads nothing does not stop anybody.
    let much = "x".repeat(1 << 20);
    assert_eq!(through("echo y", &much).unwrap(), "y\n");
    let refused = through("exit 3", "").unwrap_err();
    assert!(refused.message.contains("nothing was changed"), "{refused}");
    assert_eq!(through("printf '\\377'", "").unwrap_err().code, Code::BadData);
}

#[test]
fn of_some_objects_only_those_are_replaced_or_deleted() {
    let text = "primitive a lsb:a\nprimitive b lsb:b\ngroup g a b\nproperty batch-limit=5\n";
    let cib = crm::load(&Cib::default(), text, crm::Mode::Replace).unwrap().cib;
    let some = ["a".to_owned(), "type:property".to_owned()];
    let (ids, lines) = crm::show_some(&cib, &some).unwrap();
    assert_eq!(
        (ids.join(" "), lines.as_str()),
        ("a property".into(), "primitive a lsb:a\nproperty batch-limit=5\n")
    );
    let whole = replaced(&cib, &ids, "primitive a lsb:other\nproperty batch-limit=7\n").unwrap();
    assert_eq!(
        whole,
        "primitive a lsb:other\nprimitive b lsb:b\ngroup g a b\nproperty batch-limit=7\n"
    );
    let whole = replaced(&cib, &ids, "property batch-limit=5\n").unwrap();
    assert_eq!(whole, "primitive b lsb:b\ngroup g b\nproperty batch-limit=5\n");
    let refused = replaced(&cib, &ids, "primitve a lsb:a\n").unwrap_err();
    assert!(refused.findings[0].line == Some(1), "{refused}");
    assert!(crm::show_some(&cib, &["zz".to_owned()]).is_err());
}

#[test]
fn a_member_is_put_where_it_is_said() {
    let made = |verb, beside| members("g".into(), verb, "a".into(), beside);
    let expected = ObjectEdit::AddMember {
        group: "g".into(),
        member: "a".into(),
        before: None,
        after: Some("b".into()),
    };
    assert_eq!(made(MemberVerb::Add, Some((PlaceVerb::After, "b".into()))), Ok(expected));
    assert!(made(MemberVerb::Remove, Some((PlaceVerb::Before, "b".into()))).is_err());
}
