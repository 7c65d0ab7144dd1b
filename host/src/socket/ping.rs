//! One ICMP echo, and the default router.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, ipproto, recv, sendto,
    socket_with,
};

/// Tells one echo of this process from another.
static SEQUENCE: AtomicU16 = AtomicU16::new(1);

/// Asks a host for an echo and waits for it, at most `patience`. Needs the right to open raw sockets.
///
/// # Errors
/// When no echo can be asked for: no route, no permission.
pub fn echo(target: IpAddr, patience: Duration) -> io::Result<bool> {
    let (family, protocol, request, reply) = match target {
        IpAddr::V4(_) => (AddressFamily::INET, ipproto::ICMP, 8, 0),
        IpAddr::V6(_) => (AddressFamily::INET6, ipproto::ICMPV6, 128, 129),
    };
    let socket = socket_with(family, SocketType::RAW, SocketFlags::CLOEXEC, Some(protocol))?;
    let id = u16::try_from(std::process::id() & 0xffff).unwrap_or(0);
    let sequence = SEQUENCE.fetch_add(1, Ordering::Relaxed);
    let packet = packet(request, id, sequence);
    sendto(&socket, &packet, SendFlags::empty(), &SocketAddr::new(target, 0))?;
    let until = std::time::Instant::now() + patience;
    let mut buffer = [0; 512];
    loop {
        let left = until.saturating_duration_since(std::time::Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        set_socket_timeout(&socket, Timeout::Recv, Some(left))?;
        let length = match recv(&socket, buffer.as_mut_slice(), RecvFlags::empty()) {
            Ok((length, _)) => length.min(buffer.len()),
            Err(Errno::AGAIN | Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        };
        if answers(target, &buffer[..length], reply, id, sequence) {
            return Ok(true);
        }
    }
}

/// An echo request (RFC 792, RFC 4443 §4.1). The kernel sums ICMPv6 up itself.
fn packet(kind: u8, id: u16, sequence: u16) -> [u8; 16] {
    let mut packet = [0; 16];
    packet[0] = kind;
    packet[4..6].copy_from_slice(&id.to_be_bytes());
    packet[6..8].copy_from_slice(&sequence.to_be_bytes());
    packet[8..].copy_from_slice(b"haven...");
    let checksum = checksum(&packet).to_be_bytes();
    packet[2..4].copy_from_slice(&checksum);
    packet
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)])));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(u16::MAX)
}

/// Whether what came is the answer to this echo. Raw IPv4 sockets give the IP header, too.
fn answers(target: IpAddr, bytes: &[u8], kind: u8, id: u16, sequence: u16) -> bool {
    let message = match target {
        IpAddr::V4(from) => {
            let Some(first) = bytes.first() else { return false };
            let header = usize::from(first & 0x0f) * 4;
            if bytes.get(12..16) != Some(from.octets().as_slice()) {
                return false;
            }
            bytes.get(header..).unwrap_or_default()
        }
        IpAddr::V6(_) => bytes,
    };
    message.first() == Some(&kind)
        && message.get(4..6) == Some(id.to_be_bytes().as_slice())
        && message.get(6..8) == Some(sequence.to_be_bytes().as_slice())
}

/// The next hop of the IPv4 default route with the least metric, in this network namespace.
#[must_use]
pub fn default_router() -> Option<IpAddr> {
    let table = std::fs::read_to_string("/proc/thread-self/net/route").ok()?;
    routed(&table)
}

/// From the kernel's table: interface, destination, gateway, flags, …, metric, mask; words in the host's
/// byte order, in hexadecimal digits.
fn routed(table: &str) -> Option<IpAddr> {
    let routes = table.lines().skip(1).filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (destination, mask) = (words.get(1)?, words.get(7)?);
        let gateway = u32::from_str_radix(words.get(2)?, 16).ok()?;
        let metric: u32 = words.get(6)?.parse().ok()?;
        let default = *destination == "00000000" && *mask == "00000000" && gateway != 0;
        default.then(|| (metric, Ipv4Addr::from(gateway.to_ne_bytes())))
    });
    routes.min_by_key(|(metric, _)| *metric).map(|(_, gateway)| IpAddr::V4(gateway))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_request_sums_up_to_nothing() {
        let packet = packet(8, 0x1234, 7);
        assert_eq!(checksum(&packet), 0);
        let mut reply = vec![0x45; 20];
        reply[12..16].copy_from_slice(&[192, 0, 2, 1]);
        reply.extend(packet);
        reply[20] = 0;
        let from: IpAddr = "192.0.2.1".parse().unwrap();
        assert!(answers(from, &reply, 0, 0x1234, 7));
        assert!(!answers(from, &reply, 0, 0x1234, 8), "another echo");
        assert!(!answers("192.0.2.2".parse().unwrap(), &reply, 0, 0x1234, 7), "another host");
        assert!(!answers(from, &reply[..3], 0, 0x1234, 7));
        assert!(!answers(from, &[], 0, 0x1234, 7));
    }

    #[test]
    fn this_host_answers_itself() {
        if !rustix::process::geteuid().is_root() {
            return haven_skipped::skip("raw sockets need root", "this host answers itself");
        }
        assert!(echo("127.0.0.1".parse().unwrap(), Duration::from_secs(2)).unwrap());
    }

    #[test]
    fn the_default_route_of_least_metric_is_taken() {
        let gateway = |octets: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(octets));
        let table = format!(
            "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n\
             eth0 00000000 {} 0003 0 0 200 00000000 0 0 0\n\
             eth1 00000000 {} 0003 0 0 100 00000000 0 0 0\n\
             eth1 000200C0 00000000 0001 0 0 0 00FFFFFF 0 0 0\n",
            gateway([192, 0, 2, 1]),
            gateway([192, 0, 2, 2])
        );
        assert_eq!(routed(&table), Some("192.0.2.2".parse().unwrap()));
        assert_eq!(routed("Iface\n"), None);
    }
}
