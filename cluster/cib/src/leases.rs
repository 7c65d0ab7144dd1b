//! Which resources run under a lease: one answer for whoever judges, plans and grants.

use std::{fmt, slice};

use crate::model::{Cib, CloneChild, NvSet, Primitive, Resource};

/// What the configuration says of a primitive that redirects traffic, or asks for a lease itself.
#[derive(Debug, Clone, Copy)]
pub struct Leasing<'a> {
    /// The primitive.
    pub primitive: &'a Primitive,
    /// The id of the outermost resource around it: its lease group.
    pub group: &'a str,
    /// It stands in a clone or a bundle: its instances are many by intent, and no lease has room for them.
    pub many: bool,
    /// Its agent declares a lease, so it says which addresses stand under the gate. Others say of none.
    pub declared: bool,
    /// `lease=off`: two owners are accepted.
    pub off: bool,
    /// What it says of `requires`.
    pub requires: Option<Said<'a>>,
    /// It waits for the fencing of a lost node whatever it says of leases.
    fenced: bool,
}

/// A meta attribute as it counts for a primitive, by blocks without a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Said<'a> {
    /// Its value, as written.
    pub value: &'a str,
    /// Where that stands.
    pub source: Source<'a>,
}

/// Where a meta attribute stands that counts for a primitive. Shown as what follows the attribute in
/// a message: nothing where the primitive says it itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source<'a> {
    /// In the primitive itself.
    Own,
    /// In what it is made from or stands in: the kind of object, and its id.
    Object(&'static str, &'a str),
    /// In the defaults of all resources.
    Defaults,
}

/// Why two nodes may have what should have one owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposure {
    /// It says `lease=off`, and no fencing makes up for it.
    Accepted,
    /// It stands in a clone or a bundle.
    Many,
}

impl Leasing<'_> {
    /// Whether it runs under a lease, and behind a gate. A lease that guards nothing keeps nobody
    /// from being a second owner, so it stands in for no fencing.
    // spec: L8 "No setting but `lease=off`"
    #[must_use]
    pub const fn is_kept(&self) -> bool {
        self.declared && !self.off && !self.many
    }

    /// Why two nodes may have it, if they may. Fencing makes up for `lease=off` of one instance only: other
    /// instances of a clone are no lost node's.
    #[must_use]
    pub const fn exposure(&self) -> Option<Exposure> {
        if self.off && !self.fenced {
            Some(Exposure::Accepted)
        } else if self.declared && self.many {
            Some(Exposure::Many)
        } else {
            None
        }
    }
}

impl Said<'_> {
    /// Whether it is this word; case does not count.
    #[must_use]
    pub fn is(&self, word: &str) -> bool {
        self.value.eq_ignore_ascii_case(word)
    }
}

impl fmt::Display for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own => Ok(()),
            Self::Object(kind, id) => write!(f, " (from {kind} {id})"),
            Self::Defaults => f.write_str(" (from rsc_defaults)"),
        }
    }
}

/// Every primitive that redirects traffic, or asks for a lease itself. `declares` tells of an agent, by class,
/// provider and type, whether its metadata declares a lease.
#[must_use]
pub fn leasings<'a>(
    cib: &'a Cib,
    declares: impl Fn(Option<&str>, Option<&str>, Option<&str>) -> bool,
) -> Vec<Leasing<'a>> {
    places(cib).filter_map(|place| place.leasing(cib, &declares)).collect()
}

/// The same of one primitive; none where it has nothing to do with leases.
#[must_use]
pub fn leasing<'a>(
    cib: &'a Cib,
    declares: impl Fn(Option<&str>, Option<&str>, Option<&str>) -> bool,
    primitive: &str,
) -> Option<Leasing<'a>> {
    places(cib).find(|place| place.primitive.id == primitive)?.leasing(cib, &declares)
}

/// The meta attributes of an object, and which it is.
type Around<'a> = (Source<'a>, &'a [NvSet]);

/// A primitive and what is around it.
struct Place<'a> {
    primitive: &'a Primitive,
    group: &'a str,
    many: bool,
    /// Innermost first.
    around: [Around<'a>; 2],
}

fn places(cib: &Cib) -> impl Iterator<Item = Place<'_>> {
    cib.resources.iter().flat_map(|resource| {
        let group = resource.id();
        let nothing: Around<'_> = (Source::Own, &[]);
        let outer = |kind| (Source::Object(kind, group), resource.meta().as_slice());
        let (primitives, around, many): (&[Primitive], [Around<'_>; 2], bool) = match resource {
            Resource::Primitive(p) => (slice::from_ref(p), [nothing, nothing], false),
            Resource::Group(g) => (g.members.as_slice(), [outer("group"), nothing], false),
            Resource::Clone(c) => match &*c.child {
                CloneChild::Primitive(p) => (slice::from_ref(p), [outer("clone"), nothing], true),
                CloneChild::Group(g) => {
                    let inner = (Source::Object("group", g.id.as_str()), g.meta.as_slice());
                    (g.members.as_slice(), [inner, outer("clone")], true)
                }
            },
            Resource::Bundle(b) => (b.primitive.as_slice(), [outer("bundle"), nothing], true),
        };
        primitives.iter().map(move |primitive| Place { primitive, group, many, around })
    })
}

impl<'a> Place<'a> {
    fn leasing(
        &self,
        cib: &'a Cib,
        declares: &impl Fn(Option<&str>, Option<&str>, Option<&str>) -> bool,
    ) -> Option<Leasing<'a>> {
        let Place { primitive, group, many, around: [inner, outer] } = *self;
        let name = primitive.template.as_ref();
        let template = name.and_then(|name| cib.templates.iter().find(|it| it.id == *name));
        let nothing: Around<'a> = (Source::Own, &[]);
        let inherited = template.map_or(nothing, |template| {
            (Source::Object("template", template.id.as_str()), template.meta.as_slice())
        });
        let own = (Source::Own, primitive.meta.as_slice());
        let defaults = (Source::Defaults, cib.rsc_defaults.as_slice());
        let sets: [Around<'a>; 5] = [own, inherited, inner, outer, defaults];
        let meta = |name| {
            let mut all = sets.into_iter();
            all.find_map(|(source, sets)| Some(Said { value: value(sets, name)?, source }))
        };
        let is = |said: Option<Said<'_>>, word| said.is_some_and(|said| said.is(word));
        let Primitive { class, provider, kind, .. } = template.unwrap_or(primitive);
        let declared = declares(class.as_deref(), provider.as_deref(), kind.as_deref());
        let requires = meta("requires");
        if !declared && !is(requires, "lease") {
            return None;
        }
        let fenced = is(requires, "fencing") || is(requires, "unfencing");
        let off = is(meta("lease"), "off");
        Some(Leasing { primitive, group, many, declared, off, requires, fenced })
    }
}

/// What blocks without a rule say: a lease neither comes nor goes with the time of day, and nobody
/// who grants it could tell what a rule about nodes says.
fn value<'a>(sets: &'a [NvSet], name: &str) -> Option<&'a str> {
    let whole = sets.iter().filter(|set| set.rule.is_none());
    whole.flat_map(|set| &set.pairs).find(|pair| pair.name == name)?.value.as_deref()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;
    use crate::crm;

    fn with_vip<T>(lines: &str, read: impl Fn(Leasing<'_>) -> T) -> T {
        let cib = crm::load(&Cib::default(), lines, crm::Mode::Update).unwrap().cib;
        let haven =
            |_: Option<&str>, provider: Option<&str>, _: Option<&str>| provider == Some("haven");
        read(leasing(&cib, haven, "vip").unwrap())
    }

    #[test]
    fn it_is_told_where_a_meta_attribute_stands_and_the_nearest_counts() {
        let vip = "primitive vip ocf:haven:ip ip=192.0.2.1";
        let said = "meta requires=quorum";
        for (lines, from) in [
            (format!("{vip} {said}\ngroup g vip meta requires=fencing"), ""),
            (
                format!("rsc_template t ocf:haven:ip {said}\nprimitive vip @t\ngroup g vip {said}"),
                " (from template t)",
            ),
            (format!("{vip}\ngroup g vip {said}\nrsc_defaults requires=lease"), " (from group g)"),
            (format!("{vip}\ngroup g vip {said}\nclone c g {said}"), " (from group g)"),
            (format!("{vip}\ngroup g vip\nclone c g {said}"), " (from clone c)"),
            (
                format!(
                    "{vip} meta rule #uname eq n1 requires=lease\nrsc_defaults requires=quorum"
                ),
                " (from rsc_defaults)",
            ),
        ] {
            let requires = with_vip(&lines, |it| {
                let said = it.requires.unwrap();
                (said.value.to_owned(), said.source.to_string())
            });
            assert_eq!(requires, ("quorum".to_owned(), from.to_owned()), "{lines}");
        }
    }

    // spec: L8
    #[test]
    fn fencing_makes_up_for_lease_off_but_not_in_a_clone() {
        let vip = "primitive vip ocf:haven:ip ip=192.0.2.1 meta lease=off";
        let exposure = |lines: &str| with_vip(lines, |it| it.exposure());
        assert_eq!(exposure(vip), Some(Exposure::Accepted));
        let fenced = format!("{vip} requires=fencing");
        assert_eq!(exposure(&fenced), None);
        assert_eq!(exposure(&format!("{fenced}\nclone c vip")), Some(Exposure::Many));
        assert_eq!(exposure(&format!("{vip}\nclone c vip")), Some(Exposure::Accepted));
    }
}
