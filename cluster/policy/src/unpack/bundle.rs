//! Bundles: each replica becomes a container, an address, a connection and an instance inside.

use std::collections::BTreeMap;
use std::rc::Rc;

use haven_cib::{Bundle as CibBundle, NvPair, NvSet, Operation, Primitive};

use super::config::config_of;
use super::nodes::{Connection, remote_primitive};
use super::resources::Source;
use crate::world::resource::CloneChild;
use crate::world::{Bundle, Cell, Config, N, Probe, R, Replica, Why, World, values};

/// Where the key of connections is found, outside and inside.
const KEY_FILE: &str = "/etc/pacemaker/authkey";
/// More replicas than this are taken for a slip: each makes a node that every resource has a score on.
const MOST_REPLICAS: i32 = 200;
/// Where the logs of containers go.
const LOG_DIR: &str = "/var/log/pacemaker/bundles";
/// The port of connections.
const PORT: &str = "3121";
/// What runs in a container that has a resource inside.
const REMOTE_SERVER: &str = "/usr/sbin/pacemaker-remoted";

/// What a bundle's containers have in common.
struct Plan {
    prefix: String,
    options: BTreeMap<String, String>,
    network: BTreeMap<String, String>,
    agent: &'static str,
    ports: Vec<(String, String)>,
    /// Source, target, options, one directory per replica.
    mounts: Vec<(String, String, Option<String>, bool)>,
    hosts: String,
}

impl World<'_> {
    pub(super) fn finish_bundle(&mut self, r: R, b: &CibBundle) -> bool {
        let agent = match b.container.as_str() {
            "docker" => "docker",
            "podman" => "podman",
            _ => return false,
        };
        let option = |name: &str| b.container_options.get(name).map(String::as_str);
        let promoted_max = values::min_int(option("promoted-max").or_else(|| option("masters")), 0);
        let count = match option("replicas") {
            None if promoted_max > 0 => promoted_max,
            text => values::min_int(text, 1),
        };
        if count > MOST_REPLICAS {
            let id = &b.id;
            self.warn(format!(
                "bundle {id}: replicas={count} is too many; {MOST_REPLICAS} are planned for"
            ));
        }
        let count = count.min(MOST_REPLICAS);
        let mut per_host = values::min_int(option("replicas-per-host"), 1);
        if per_host == 1 {
            self[r].unique = false;
        }
        let network = b.network.clone().unwrap_or_default();
        let addressed = network.contains_key("ip-range-start");
        if b.primitive.is_some() && !addressed {
            if !network.contains_key("control-port") {
                return false;
            }
            per_host = 1;
        }
        let mut plan = Plan {
            prefix: self[r].id.clone(),
            options: b.container_options.clone(),
            ports: ports(b),
            mounts: Vec::new(),
            hosts: String::new(),
            network,
            agent,
        };
        let needs_log_mount = mounts(b, &mut plan);
        let mut data = Bundle { count, per_host, ..Bundle::default() };
        let mut children: Vec<Option<R>> = vec![None; usize::try_from(count).unwrap_or(0)];
        if let Some(p) = &b.primitive {
            let Some(clone) = self.bundled_clone(r, p, &data, promoted_max) else { return false };
            data.child = Some(clone);
            plan.mounts.push((KEY_FILE.into(), KEY_FILE.into(), None, false));
            if needs_log_mount {
                plan.mounts.push((LOG_DIR.into(), "/var/log".into(), None, true));
            }
            let port = plan.network.get("control-port").cloned().unwrap_or_else(|| PORT.into());
            plan.ports.push((port.clone(), port));
            children = self[clone].children.iter().map(|c| Some(*c)).collect();
            for c in children.iter().flatten() {
                self[*c].exclusive_probes = true;
                if self[*c].notify {
                    self[clone].notify = true;
                }
                if let Some(t) = self[*c].meta("container-attribute-target").map(str::to_owned) {
                    self[r].meta.insert("container-attribute-target".into(), t.clone());
                    self[clone].meta.insert("container-attribute-target".into(), t);
                }
            }
        }
        let mut last: Option<String> = None;
        for (i, child) in children.into_iter().enumerate() {
            let offset = u32::try_from(i).unwrap_or(u32::MAX);
            let address = next_address(&plan, last.as_deref());
            last.clone_from(&address);
            if let Some(a) = &address {
                plan.hosts += &if values::boolean(
                    plan.network.get("add-host").map_or("true", String::as_str),
                ) == Some(false)
                {
                    format!(" --hosts-entry={a}={}-{offset}", plan.prefix)
                } else {
                    format!(" --add-host={}-{offset}:{a}", plan.prefix)
                };
            }
            data.replicas.push(Replica {
                offset,
                address,
                child,
                ip: None,
                container: None,
                remote: None,
                node: None,
            });
        }
        self[r].bundle = Some(Box::new(data.clone()));
        for i in 0..data.replicas.len() {
            if !self.create_replica(r, &plan, i) {
                return false;
            }
        }
        if let Some(clone) = data.child {
            self[r].children.push(clone);
        }
        true
    }

    /// The clone of what runs inside.
    fn bundled_clone(&mut self, r: R, p: &Primitive, b: &Bundle, promoted_max: i32) -> Option<R> {
        let mut pairs = vec![
            pair("ordered", "true"),
            pair("clone-max", &b.count.to_string()),
            pair("clone-node-max", &b.per_host.to_string()),
            pair("globally-unique", if b.per_host > 1 { "true" } else { "false" }),
        ];
        if promoted_max > 0 {
            pairs.push(pair("promotable", "true"));
            pairs.push(pair("promoted-max", &promoted_max.to_string()));
        }
        let suffix = if promoted_max > 0 { "master" } else { "clone" };
        let id = format!("{}-{suffix}", self[r].id);
        let config = Rc::new(Config {
            meta: vec![NvSet { id: format!("{id}-meta"), pairs, ..NvSet::default() }],
            id,
            ..Config::default()
        });
        let child = CloneChild::Primitive(Rc::new(config_of(p)));
        self.create(&config, Source::Clone(Rc::new(child)), Some(r), None)
    }

    fn create_replica(&mut self, bundle: R, plan: &Plan, i: usize) -> bool {
        let Some(mut replica) = self[bundle].bundle.as_ref().map(|b| b.replicas[i].clone()) else {
            return false;
        };
        let config = Rc::new(config_of(&container(plan, &replica)));
        let Some(c) = self.create(&config, Source::Primitive, Some(bundle), None) else {
            return false;
        };
        self[c].replica_container = true;
        self[bundle].children.push(c);
        replica.container = Some(c);
        if let Some(a) = replica.address.clone() {
            let config = Rc::new(config_of(&address(plan, &replica, &a)));
            let Some(ip) = self.create(&config, Source::Primitive, Some(bundle), None) else {
                return false;
            };
            self[bundle].children.push(ip);
            replica.ip = Some(ip);
        }
        if replica.child.is_some() && !self.create_connection(bundle, plan, &mut replica) {
            return false;
        }
        if let (Some(child), Some(a)) = (replica.child, replica.address.clone()) {
            self[child].meta.insert("external-ip".into(), a);
        }
        if let Some(remote) = replica.remote {
            self[remote].nesting_allowed = true;
        }
        if let Some(child) = replica.child {
            let needs = std::mem::take(&mut self[child].utilization);
            self[child].utilization = std::mem::replace(&mut self[c].utilization, needs);
        }
        if let Some(b) = self[bundle].bundle.as_mut() {
            b.replicas[i] = replica;
        }
        true
    }

    fn create_connection(&mut self, bundle: R, plan: &Plan, replica: &mut Replica) -> bool {
        let (Some(child), Some(c)) = (replica.child, replica.container) else { return false };
        let mut id = format!("{}-{}", plan.prefix, replica.offset);
        if self.find_rsc(&id).is_some() {
            id = format!("pcmk-internal-{}-remote-{}", self[child].id, replica.offset);
        }
        let launcher = self[c].id.clone();
        let connection = remote_primitive(
            &id,
            &Connection {
                launcher: Some(&launcher),
                migrate: None,
                managed: None,
                timeout: None,
                addr: Some(replica.address.as_deref().unwrap_or("#uname")),
                port: Some(plan.network.get("control-port").map_or(PORT, String::as_str)),
            },
        );
        let n = match self.find_node(&id) {
            Some(n) => {
                self[n].base.score = -values::INFINITY;
                n
            }
            None => self.create_node(&id, &id, true, -values::INFINITY),
        };
        self[n].base.probe = Probe::Never;
        for t in self.top.clone() {
            self.disallow(t, n);
        }
        replica.node = Some(n);
        let inside = Cell { score: 500, probe: Probe::Exclusive, present: true, count: 0 };
        self[child].allowed = crate::world::Table::default();
        self[child].allowed.insert(n, inside);
        if let Some(clone) = self[child].parent {
            self[clone].allowed.insert(n, Cell { score: -values::INFINITY, ..inside });
        }
        let config = Rc::new(config_of(&connection));
        let Some(remote) = self.create(&config, Source::Primitive, Some(bundle), None) else {
            return false;
        };
        for m in self[remote].allowed.nodes() {
            if self[m].is_remote_kind
                && let Some(cell) = self[remote].allowed.get_mut(m)
            {
                let before = std::mem::replace(&mut cell.score, -values::INFINITY);
                self.note_score(remote, m, Why::Kind, before, -values::INFINITY);
            }
        }
        self[n].remote = Some(remote);
        self[remote].launcher = Some(c);
        self[n].attrs.insert("#kind".into(), "container".into());
        self[bundle].children.push(remote);
        replica.remote = Some(remote);
        true
    }

    fn disallow(&mut self, r: R, n: N) {
        if let Some(cell) = self[r].allowed.get_mut(n) {
            let before = std::mem::replace(&mut cell.score, -values::INFINITY);
            cell.probe = Probe::Never;
            self.note_score(r, n, Why::Kind, before, -values::INFINITY);
        }
        for c in self[r].children.clone() {
            self.disallow(c, n);
        }
    }

    /// Whether a connection's address is the name of the host its container will be on.
    pub(crate) fn needs_remote_name(&mut self, r: R) -> bool {
        self[r].is_remote_connection
            && self.params(r, None).get("addr").is_some_and(|a| a.eq_ignore_ascii_case("#uname"))
    }

    /// The name of the host of a connection's container.
    pub(crate) fn bundle_remote_name(&mut self, r: R) -> Option<String> {
        if !self.needs_remote_name(r) {
            return None;
        }
        let bundle = self[self.top_bundle(r)].bundle.as_ref()?;
        let c = bundle.replicas.iter().find(|p| p.remote == Some(r))?.container?;
        let n = self[c].assigned.or_else(|| self.current(c))?;
        Some(self[n].name.clone())
    }
}

fn pair(name: &str, value: &str) -> NvPair {
    NvPair { id: None, name: name.into(), value: Some(value.into()) }
}

fn ports(b: &CibBundle) -> Vec<(String, String)> {
    let mut list = Vec::new();
    for p in &b.ports {
        let (source, target) = match p.get("port") {
            Some(port) => (port, p.get("internal-port")),
            None => match p.get("range") {
                Some(range) => (range, None),
                None => continue,
            },
        };
        if !source.is_empty() {
            list.push((source.clone(), target.unwrap_or(source).clone()));
        }
    }
    list
}

/// Adds the configured directories; false if one of them is the log directory.
fn mounts(b: &CibBundle, plan: &mut Plan) -> bool {
    let mut needs_log = true;
    for s in &b.storage {
        let (source, subdir) = match s.get("source-dir") {
            Some(d) => (Some(d), false),
            None => (s.get("source-dir-root"), true),
        };
        if let (Some(source), Some(target)) = (source, s.get("target-dir")) {
            needs_log &= target != "/var/log";
            plan.mounts.push((source.clone(), target.clone(), s.get("options").cloned(), subdir));
        }
    }
    needs_log
}

fn next_address(plan: &Plan, last: Option<&str>) -> Option<String> {
    let first = plan.network.get("ip-range-start")?;
    let Some(last) = last else { return Some(first.clone()) };
    let octets: Vec<u32> = last.split('.').map_while(|o| o.parse().ok()).collect();
    let [a, b, c, d] = octets[..] else { return None };
    if c > 253 {
        None
    } else if d > 253 {
        Some(format!("{a}.{b}.{}.1", c + 1))
    } else {
        Some(format!("{a}.{b}.{c}.{}", d + 1))
    }
}

/// Characters that ids may not have become dots.
fn sanitize(id: &str) -> String {
    let mut out = String::new();
    for (i, c) in id.chars().enumerate() {
        let start = c.is_alphabetic() || c == '_';
        let inner = start || c.is_ascii_digit() || c == '-' || c == '.';
        out.push(match (i, start, inner) {
            (0, true, _) | (1.., _, true) => c,
            (0, false, _) => '_',
            _ => '.',
        });
    }
    out
}

fn made(plan: &Plan, replica: &Replica, id: &str, agent: &str, params: Vec<NvPair>) -> Primitive {
    Primitive {
        id: id.to_owned(),
        class: Some("ocf".into()),
        provider: Some("heartbeat".into()),
        kind: Some(agent.to_owned()),
        params: vec![NvSet {
            id: format!("{}-attributes-{}", plan.prefix, replica.offset),
            pairs: params,
            ..NvSet::default()
        }],
        operations: vec![Operation {
            id: format!("{id}-monitor-60s"),
            name: "monitor".into(),
            interval: Some("60s".into()),
            ..Operation::default()
        }],
        ..Primitive::default()
    }
}

fn address(plan: &Plan, replica: &Replica, address: &str) -> Primitive {
    let id = sanitize(&format!("{}-ip-{address}", plan.prefix));
    let mut params = vec![pair("ip", address)];
    if let Some(nic) = plan.network.get("host-interface") {
        params.push(pair("nic", nic));
    }
    let mask = plan.network.get("host-netmask").map_or("32", String::as_str);
    params.push(pair("cidr_netmask", mask));
    made(plan, replica, &id, "IPaddr2", params)
}

fn container(plan: &Plan, replica: &Replica) -> Primitive {
    let offset = replica.offset;
    let id = sanitize(&format!("{}-{}-{offset}", plan.prefix, plan.agent));
    let option = |name: &str| plan.options.get(name).map(String::as_str);
    let mut run = String::new();
    if plan.agent == "docker" {
        run += " --restart=no";
    }
    if plan.network.contains_key("ip-range-start") {
        run += &format!(" -h {}-{offset}", plan.prefix);
    }
    run += " -e PCMK_stderr=1";
    if let Some(net) = option("network") {
        run += &format!(" --net={net}");
    }
    let port = plan.network.get("control-port").map_or(PORT, String::as_str);
    run += &format!(" -e PCMK_remote_port={port}");
    let mut dirs: Vec<String> = Vec::new();
    for (source, target, options, subdir) in &plan.mounts {
        let source = if *subdir {
            let dir = format!("{source}/{}-{offset}", plan.prefix);
            dirs.push(dir.clone());
            dir
        } else {
            source.clone()
        };
        run += &format!(" -v {source}:{target}");
        if let Some(o) = options {
            run += &format!(":{o}");
        }
    }
    for (source, target) in &plan.ports {
        if let Some(a) = &replica.address {
            run += &format!(" -p {a}:{source}:{target}");
        } else if option("network") != Some("host") {
            run += &format!(" -p {source}:{target}");
        }
    }
    if let Some(o) = option("options") {
        run += &format!(" {o}");
    }
    run += &format!(" {}", plan.hosts);
    let mut params = vec![
        pair("image", option("image").unwrap_or_default()),
        pair("allow_pull", "true"),
        pair("force_kill", "false"),
        pair("reuse", "false"),
        pair("run_opts", &run),
        pair("mount_points", &dirs.join(",")),
    ];
    match (option("run-command"), replica.child) {
        (Some(command), _) => params.push(pair("run_cmd", command)),
        (None, Some(_)) => params.push(pair("run_cmd", REMOTE_SERVER)),
        (None, None) => {}
    }
    params.push(pair("monitor_cmd", "/bin/true"));
    made(plan, replica, &id, plan.agent, params)
}
