//! Nodes of the configuration, and those that resources bring along.

use haven_cib::{Cib, NvPair, NvSet, Operation, Primitive, Resource};

use crate::rules::nvpair::{self, Rules};
use crate::world::{Cell, N, Node, World, values};

impl World<'_> {
    pub(super) fn unpack_nodes(&mut self, cib: &Cib) {
        for entry in &cib.nodes {
            let remote = match entry.kind.as_deref().map(str::to_ascii_lowercase).as_deref() {
                None | Some("member" | "normal") => false,
                Some("remote") => true,
                Some(other) => {
                    self.warn(format!("node {}: type `{other}` is not known", entry.id));
                    return;
                }
            };
            let score = entry.score.as_deref().and_then(|s| self.score(s)).unwrap_or(0);
            let n = self.create_node(&entry.id, &entry.uname, remote, score);
            self.handle_startup_fencing(n);
            self.add_node_attrs(n, &entry.attributes, &entry.utilization);
        }
    }

    pub(crate) fn create_node(&mut self, id: &str, name: &str, remote: bool, score: i32) -> N {
        let n = N(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX));
        let mut node = Node {
            id: id.to_owned(),
            name: name.to_owned(),
            is_remote_kind: remote,
            base: Cell { score, present: true, ..Cell::default() },
            probes_allowed: true,
            ..Node::default()
        };
        node.attrs.insert("#kind".into(), if remote { "remote" } else { "cluster" }.into());
        self.set.have_remotes |= remote;
        self.nodes.push(node);
        self.node_names.entry(name.to_ascii_lowercase()).or_insert(n);
        self.node_ids.entry(id.to_ascii_lowercase()).or_insert(n);
        let at = self
            .node_order
            .iter()
            .position(|o| values::compare_names(name, &self[*o].name).is_le())
            .unwrap_or(self.node_order.len());
        self.node_order.insert(at, n);
        n
    }

    /// Numbers the nodes by name; to be called when no more are made.
    pub(crate) fn rank_nodes(&mut self) {
        let mut order: Vec<N> = self.node_order.clone();
        order.sort_by(|a, b| self[*a].name.cmp(&self[*b].name));
        for (rank, n) in order.into_iter().enumerate() {
            self[n].rank = u32::try_from(rank).unwrap_or(u32::MAX);
        }
    }

    pub(crate) fn handle_startup_fencing(&mut self, n: N) {
        if self[n].is_remote_kind && self[n].remote.is_none() {
            return;
        }
        self[n].unclean = self.set.startup_fencing;
    }

    /// Sets a node's permanent attributes and those the engine adds itself.
    pub(crate) fn add_node_attrs(&mut self, n: N, attrs: &[NvSet], utilization: &[NvSet]) {
        self.add_builtin_attrs(n);
        let input = Rules { now: self.now, ..Rules::default() };
        let mut map = std::mem::take(&mut self[n].attrs);
        let next = nvpair::unpack(attrs, None, &input, &mut map);
        self[n].attrs = map;
        let capacity = self.unpack_sets(utilization, &input);
        for (k, v) in capacity {
            self[n].utilization.entry(k).or_insert_with(|| values::int(&v).unwrap_or(0));
        }
        if let Some(t) = next {
            self.recheck(t);
        }
        self.add_site_name(n);
    }

    pub(crate) fn add_builtin_attrs(&mut self, n: N) {
        let (id, name) = (self[n].id.clone(), self[n].name.clone());
        let is_dc = self.status.dc.as_ref().is_some_and(|d| d.eq_ignore_ascii_case(&id));
        if self.dc.is_none() && is_dc {
            self.dc = Some(n);
        }
        let dc = if self.dc == Some(n) { "true" } else { "false" };
        let cluster = self.options.get("cluster-name").cloned();
        let attrs = &mut self[n].attrs;
        attrs.insert("#uname".into(), name);
        attrs.insert("#id".into(), id);
        attrs.insert("#is_dc".into(), dc.into());
        if let Some(c) = cluster {
            attrs.insert("#cluster-name".into(), c);
        }
    }

    pub(crate) fn add_site_name(&mut self, n: N) {
        if self[n].attrs.contains_key("#site-name") {
            return;
        }
        let site = self[n].attrs.get("site-name").or_else(|| self.options.get("cluster-name"));
        if let Some(site) = site.cloned() {
            self[n].attrs.insert("#site-name".into(), site);
        }
    }

    /// Creates the nodes that connections and guests make, and returns the connections that
    /// `remote-node` implies.
    pub(super) fn guest_connections(&mut self, cib: &Cib) -> Vec<Primitive> {
        let mut made = Vec::new();
        for r in &cib.resources {
            match r {
                Resource::Primitive(p) if is_remote(p) => self.remote_node(&p.id),
                Resource::Primitive(p) => made.extend(connection(p)),
                Resource::Group(g) => made.extend(g.members.iter().filter_map(connection)),
                Resource::Clone(_) | Resource::Bundle(_) => {}
            }
            if let Some(id) = made.last().map(|p| p.id.clone()) {
                self.remote_node(&id);
            }
        }
        for p in &made {
            self.remote_node(&p.id);
        }
        made
    }

    fn remote_node(&mut self, name: &str) {
        if self.find_node(name).is_none() {
            self.create_node(name, name, true, 0);
        }
    }
}

/// The agent that connects to a remote node.
pub(crate) fn is_remote(p: &Primitive) -> bool {
    let is = |v: &Option<String>, w: &str| v.as_deref().is_some_and(|v| v.eq_ignore_ascii_case(w));
    is(&p.class, "ocf") && is(&p.provider, "pacemaker") && is(&p.kind, "remote")
}

/// The connection implied by `remote-node`.
fn connection(p: &Primitive) -> Option<Primitive> {
    let mut found: [Option<&str>; 6] = [None; 6];
    const NAMES: [&str; 6] = [
        "remote-node",
        "remote-addr",
        "remote-port",
        "remote-connect-timeout",
        "remote-allow-migrate",
        "is-managed",
    ];
    for pair in p.meta.iter().flat_map(|s| &s.pairs) {
        if let Some(i) = NAMES.iter().position(|n| *n == pair.name) {
            found[i] = pair.value.as_deref();
        }
    }
    let [name, addr, port, timeout, migrate, managed] = found;
    Some(remote_primitive(
        name?,
        &Connection {
            launcher: Some(&p.id),
            migrate,
            managed,
            timeout: Some(timeout.unwrap_or("60s")),
            addr,
            port,
        },
    ))
}

/// How a connection is made.
pub(crate) struct Connection<'a> {
    pub(crate) launcher: Option<&'a str>,
    pub(crate) migrate: Option<&'a str>,
    pub(crate) managed: Option<&'a str>,
    pub(crate) timeout: Option<&'a str>,
    pub(crate) addr: Option<&'a str>,
    pub(crate) port: Option<&'a str>,
}

/// A connection resource as if it had been configured.
pub(crate) fn remote_primitive(name: &str, c: &Connection<'_>) -> Primitive {
    let pair = |n: &str, v: &str| NvPair { id: None, name: n.into(), value: Some(v.into()) };
    let mut meta = vec![pair("internal_rsc", "true")];
    meta.extend(c.launcher.map(|v| pair("container", v)));
    meta.extend(c.migrate.map(|v| pair("allow-migrate", v)));
    meta.extend(c.managed.map(|v| pair("is-managed", v)));
    let mut params = Vec::new();
    params.extend(c.addr.map(|v| pair("addr", v)));
    params.extend(c.port.map(|v| pair("port", v)));
    let operation = |n: &str, interval: &str, timeout: &str| Operation {
        id: format!("{name}-{n}-{interval}"),
        name: n.into(),
        interval: Some(interval.into()),
        options: [("timeout".to_owned(), timeout.to_owned())].into(),
        ..Operation::default()
    };
    let mut operations = vec![operation("monitor", "30s", "30s")];
    operations.extend(c.timeout.map(|t| operation("start", "0", t)));
    let set = |suffix: &str, pairs: Vec<NvPair>| NvSet {
        id: format!("{name}-{suffix}"),
        pairs,
        ..NvSet::default()
    };
    Primitive {
        id: name.into(),
        class: Some("ocf".into()),
        provider: Some("pacemaker".into()),
        kind: Some("remote".into()),
        meta: vec![set("meta_attributes", meta)],
        params: if params.is_empty() {
            Vec::new()
        } else {
            vec![set("instance_attributes", params)]
        },
        operations,
        ..Primitive::default()
    }
}
