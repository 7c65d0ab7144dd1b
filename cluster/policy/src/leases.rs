//! Which resources run under a lease: one answer for whoever plans and whoever grants.

use std::slice;

use haven_cib::{Cib, CloneChild, NvSet, Primitive, Resource};

use crate::facts::AgentFacts;

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
    /// It waits for the fencing of a lost node whatever it says of leases.
    fenced: bool,
}

/// Why two nodes may have what should have one owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposure {
    /// It says `lease=off`.
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

    /// Why two nodes may have it, if they may.
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

/// Every primitive that redirects traffic, or asks for a lease itself.
#[must_use]
pub fn leasings<'a>(cib: &'a Cib, facts: &AgentFacts) -> Vec<Leasing<'a>> {
    places(cib).filter_map(|place| place.leasing(cib, facts)).collect()
}

/// The same of one primitive; none where it has nothing to do with leases.
#[must_use]
pub fn leasing<'a>(cib: &'a Cib, facts: &AgentFacts, primitive: &str) -> Option<Leasing<'a>> {
    places(cib).find(|place| place.primitive.id == primitive)?.leasing(cib, facts)
}

/// A primitive and what is around it.
struct Place<'a> {
    primitive: &'a Primitive,
    group: &'a str,
    many: bool,
    /// The meta attributes of what is around it, innermost first.
    around: [&'a [NvSet]; 2],
}

fn places(cib: &Cib) -> impl Iterator<Item = Place<'_>> {
    cib.resources.iter().flat_map(|resource| {
        let group = resource.id();
        let (primitives, around, many): (&[Primitive], [&[NvSet]; 2], bool) = match resource {
            Resource::Primitive(p) => (slice::from_ref(p), [&[], &[]], false),
            Resource::Group(g) => (g.members.as_slice(), [g.meta.as_slice(), &[]], false),
            Resource::Clone(c) => match &*c.child {
                CloneChild::Primitive(p) => (slice::from_ref(p), [c.meta.as_slice(), &[]], true),
                CloneChild::Group(g) => {
                    (g.members.as_slice(), [g.meta.as_slice(), c.meta.as_slice()], true)
                }
            },
            Resource::Bundle(b) => (b.primitive.as_slice(), [b.meta.as_slice(), &[]], true),
        };
        primitives.iter().map(move |primitive| Place { primitive, group, many, around })
    })
}

impl<'a> Place<'a> {
    fn leasing(&self, cib: &'a Cib, facts: &AgentFacts) -> Option<Leasing<'a>> {
        let Place { primitive, group, many, around: [inner, outer] } = *self;
        let name = primitive.template.as_ref();
        let template = name.and_then(|name| cib.templates.iter().find(|it| it.id == *name));
        let inherited = template.map_or([].as_slice(), |template| template.meta.as_slice());
        let sets =
            [primitive.meta.as_slice(), inherited, inner, outer, cib.rsc_defaults.as_slice()];
        let meta = |name| sets.into_iter().find_map(|sets| value(sets, name));
        let is = |word: Option<&str>, wanted: &str| {
            word.is_some_and(|word| word.eq_ignore_ascii_case(wanted))
        };
        let Primitive { class, provider, kind, .. } = template.unwrap_or(primitive);
        let declared = facts.declare_lease(class.as_deref(), provider.as_deref(), kind.as_deref());
        let requires = meta("requires");
        if !declared && !is(requires, "lease") {
            return None;
        }
        let fenced = is(requires, "fencing") || is(requires, "unfencing");
        let off = is(meta("lease"), "off");
        Some(Leasing { primitive, group, many, declared, off, fenced })
    }
}

/// What blocks without a rule say: a lease neither comes nor goes with the time of day, and nobody
/// who grants it could tell what a rule about nodes says.
fn value<'a>(sets: &'a [NvSet], name: &str) -> Option<&'a str> {
    let whole = sets.iter().filter(|set| set.rule.is_none());
    whole.flat_map(|set| &set.pairs).find(|pair| pair.name == name)?.value.as_deref()
}
