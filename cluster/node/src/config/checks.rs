//! Local checks as configured.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Most checks of a node.
pub const MAX_CHECKS: usize = 32;
/// Most targets of one check.
pub const MAX_TARGETS: usize = 16;

/// One local check: what is asked, how often, and which attribute of the node says what came of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CheckConfig {
    /// Its name.
    pub name: String,
    /// What is asked.
    pub kind: CheckKind,
    /// Time between two probes of a target.
    pub interval: Duration,
    /// A probe that takes longer has failed.
    pub timeout: Duration,
    /// So many failures in a row are believed.
    pub failures: u32,
    /// So many successes in a row are believed.
    pub successes: u32,
    /// The transient attribute that is set.
    pub attribute: String,
    /// Its value is the number of targets that are up, times this.
    pub multiplier: u32,
    /// Changes are held back until this has passed since the last on any node.
    pub delay: Duration,
    /// Its value where all targets are up, in place of the number.
    pub good: Option<String>,
    /// Its value otherwise.
    pub bad: Option<String>,
}

/// What a check asks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CheckKind {
    /// Whether hosts answer an echo.
    Ping(Vec<IpAddr>),
    /// Whether the next hop of the IPv4 default route answers an echo.
    Router,
    /// Whether a file system has room.
    Disk {
        /// A file or directory on it.
        path: PathBuf,
        /// Least share of it that is free for ordinary users, in hundredths.
        free_percent: u32,
    },
    /// Whether a name has an address.
    Dns(String),
    /// Whether a page is answered with a code below 400.
    Http(HttpTarget),
    /// Whether a program ends with 0.
    Script(PathBuf),
}

/// A page.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HttpTarget {
    /// Name or address of the host.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// With the leading `/`.
    pub path: String,
}

impl HttpTarget {
    /// Reads `http://HOST[:PORT]/PATH`; nothing else.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("http://")?;
        let (place, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let plain = |c: char| !c.is_whitespace() && !c.is_control();
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !place.ends_with(']') => (host, port.parse().ok()?),
            _ => (place, 80),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let good = !host.is_empty() && port > 0 && text.chars().all(plain);
        let path = if path.is_empty() { "/" } else { path };
        good.then(|| Self { host: host.to_owned(), port, path: path.to_owned() })
    }
}

impl fmt::Display for HttpTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "http://[{}]:{}{}", self.host, self.port, self.path),
            false => write!(f, "http://{}:{}{}", self.host, self.port, self.path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::NodeConfig;

    const NODE: &str = "[cluster]\nname = \"c\"\n[node]\nname = \"n\"\n[[link]]\nnumber = 0\nlocal = \"192.0.2.9\"\n";

    #[test]
    fn checks_are_read_with_what_is_usual() {
        let text = format!(
            "{NODE}[[check]]\nname = \"out\"\nkind = \"ping\"\ntargets = [\"192.0.2.1\", \"2001:db8::1\"]\n\
             multiplier = 1000\nattribute = \"pingd\"\n\
             [[check]]\nname = \"var\"\nkind = \"disk\"\npath = \"/var\"\nfree_percent = 10\n\
             [[check]]\nname = \"web\"\nkind = \"http\"\ntarget = \"http://[2001:db8::2]:8080/alive\"\ninterval = \"500ms\"\n"
        );
        let checks = NodeConfig::parse(&text).unwrap().checks;
        assert_eq!((checks[0].attribute.as_str(), checks[0].multiplier), ("pingd", 1000));
        assert_eq!((checks[0].failures, checks[0].interval), (3, Duration::from_secs(10)));
        assert_eq!(checks[1].attribute, "check-var");
        assert_eq!(checks[1].kind, CheckKind::Disk { path: "/var".into(), free_percent: 10 });
        assert_eq!(
            (checks[2].attribute.as_str(), checks[2].interval),
            ("reach-web", Duration::from_millis(500))
        );
        let CheckKind::Http(page) = &checks[2].kind else { panic!("{:?}", checks[2].kind) };
        assert_eq!(page.to_string(), "http://[2001:db8::2]:8080/alive");
        assert_eq!(HttpTarget::read("http://a").unwrap().to_string(), "http://a:80/");
    }

    #[test]
    fn every_mistake_is_named() {
        for (lines, found) in [
            ("kind = \"ping\"", "[[check]] name"),
            ("name = \"a b\"\nkind = \"router\"", "[[check]] name"),
            ("name = \"a\"\nkind = \"pong\"", "[[check]] kind"),
            ("name = \"a\"\nkind = \"ping\"\ntargets = []", "[[check]] targets"),
            ("name = \"a\"\nkind = \"ping\"\ntargets = [\"x\"]", "[[check]] targets"),
            ("name = \"a\"\nkind = \"http\"\ntarget = \"https://a/\"", "[[check]] target"),
            ("name = \"a\"\nkind = \"script\"\npath = \"x\"", "[[check]] path"),
            ("name = \"a\"\nkind = \"router\"\ninterval = \"10 parsecs\"", "[[check]] interval"),
            ("name = \"a\"\nkind = \"router\"\nfailures = 0", "[[check]] failures"),
            ("name = \"a\"\nkind = \"router\"\ngood = \"green\"", "[[check]]"),
            ("name = \"a\"\nkind = \"router\"\nintervall = \"1s\"", "[check] intervall"),
        ] {
            let findings = NodeConfig::parse(&format!("{NODE}[[check]]\n{lines}\n")).unwrap_err();
            let objects: Vec<&str> = findings.iter().map(|f| f.object.as_str()).collect();
            assert!(objects.contains(&found), "{lines}: {findings:?}");
        }
    }
}
