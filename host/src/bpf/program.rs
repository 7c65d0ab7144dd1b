//! Programs: loaded through the verifier, named, found again by number, run on a test packet.
#![allow(
    unsafe_code,
    reason = "bpf(2) takes addresses; every call here passes slices that outlive it"
)]

use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

use super::{BpfError, sys};

/// `BPF_PROG_TYPE_SCHED_CLS`: sees every frame at a device's ingress or egress.
const SCHED_CLS: u32 = 3;
/// What is kept of the verifier's log.
const LOG_BYTES: usize = 64 * 1024;
/// Most maps read back from one program.
const MAX_MAPS: usize = 16;

/// What the kernel says about a loaded program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgramInfo {
    /// The kernel's number for the program, unique until it is freed.
    pub id: u32,
    /// Up to [`super::NAME_LEN`] bytes.
    pub name: String,
    /// Digest of the instructions without map references: equal code has equal tags.
    pub tag: [u8; 8],
    /// Numbers of the maps it refers to.
    pub map_ids: Vec<u32>,
}

/// The outcome of [`Program::test_run`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestRun {
    /// What the program returned for the last run.
    pub verdict: u32,
    /// Mean time of a run.
    pub duration: Duration,
}

/// A loaded packet program (`SCHED_CLS`); lives as long as a descriptor or a hook refers to it.
#[derive(Debug)]
pub struct Program {
    fd: OwnedFd,
}

impl Program {
    /// Loads `code`. Needs `CAP_BPF` and `CAP_NET_ADMIN`.
    ///
    /// # Errors
    /// [`BpfError::Verifier`] with the end of the log when the kernel finds fault with the code.
    pub fn load(name: &str, code: &[u64]) -> Result<Self, BpfError> {
        // The log costs time; ask for it only when there is something to read.
        let quiet = load(name, code, &mut []);
        let Err(error) = quiet else {
            return quiet.map(|fd| Self { fd }).map_err(|e| refused(name, e, ""));
        };
        if error.raw_os_error() == Some(libc::EPERM) {
            return Err(BpfError::command(format!("load the BPF program {name}"), error));
        }
        let mut log = vec![0; LOG_BYTES];
        match load(name, code, &mut log) {
            Ok(fd) => Ok(Self { fd }),
            Err(error) => {
                let end = log.iter().position(|&b| b == 0).unwrap_or(log.len());
                Err(refused(name, error, &String::from_utf8_lossy(&log[..end])))
            }
        }
    }

    /// The program with the kernel's number `id`. Needs `CAP_SYS_ADMIN`.
    ///
    /// # Errors
    /// ENOENT when it is gone, EPERM without the capability.
    pub fn from_id(id: u32) -> Result<Self, BpfError> {
        let mut attr = sys::GetById { id, ..Default::default() };
        // SAFETY: the command reads no memory but `attr` and answers with a descriptor.
        let fd = unsafe { sys::bpf_fd(sys::PROG_GET_FD_BY_ID, &mut attr) }
            .map_err(|e| BpfError::command(format!("open the BPF program with id {id}"), e))?;
        Ok(Self { fd })
    }

    /// What the kernel says about it.
    ///
    /// # Errors
    /// None known for a live descriptor.
    pub fn info(&self) -> Result<ProgramInfo, BpfError> {
        let mut map_ids = [0_u32; MAX_MAPS];
        let mut raw = [sys::ProgInfo {
            nr_map_ids: sys::size(MAX_MAPS),
            map_ids: sys::address_mut(&mut map_ids),
            ..Default::default()
        }];
        let mut attr = sys::GetInfo {
            fd: sys::raw(&self.fd),
            info_len: sys::size(size_of::<sys::ProgInfo>()),
            info: sys::address_mut(&mut raw),
        };
        // SAFETY: `info` is exactly `info_len` bytes and borrowed mutably; it points to `map_ids`, which
        // has the length it says. The other lengths in it are 0, so the kernel writes nowhere else.
        unsafe { sys::bpf(sys::OBJ_GET_INFO_BY_FD, &mut attr) }
            .map_err(|e| BpfError::command("read what the kernel knows of a BPF program", e))?;
        let [raw] = raw;
        let count = (raw.nr_map_ids as usize).min(MAX_MAPS);
        Ok(ProgramInfo {
            id: raw.id,
            name: sys::text(&raw.name),
            tag: raw.tag,
            map_ids: map_ids[..count].to_vec(),
        })
    }

    /// Runs it `repeat` times on `frame` (at least 14 bytes, an Ethernet header first) without sending anything.
    ///
    /// # Errors
    /// EINVAL for a frame too short or too long.
    pub fn test_run(&self, frame: &[u8], repeat: u32) -> Result<TestRun, BpfError> {
        let mut attr = sys::TestRun {
            prog_fd: sys::raw(&self.fd),
            data_size_in: sys::size(frame.len()),
            data_in: sys::address(frame),
            repeat,
            ..Default::default()
        };
        // SAFETY: `data_in` is `data_size_in` bytes and only read; nothing is asked to be written.
        unsafe { sys::bpf(sys::PROG_TEST_RUN, &mut attr) }
            .map_err(|e| BpfError::command("run a BPF program on a test frame", e))?;
        Ok(TestRun { verdict: attr.retval, duration: Duration::from_nanos(attr.duration.into()) })
    }
}

impl AsRawFd for Program {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

fn load(name: &str, code: &[u64], log: &mut [u8]) -> std::io::Result<OwnedFd> {
    let license = b"Apache-2.0\0";
    let mut attr = sys::ProgLoad {
        prog_type: SCHED_CLS,
        insn_cnt: sys::size(code.len()),
        insns: sys::address(code),
        license: sys::address(license),
        log_level: u32::from(!log.is_empty()),
        log_size: sys::size(log.len()),
        log_buf: if log.is_empty() { 0 } else { sys::address_mut(log) },
        name: sys::name(name),
        ..Default::default()
    };
    // SAFETY: `insns` is `insn_cnt` words of 8 bytes, `license` ends with a zero byte, `log` is `log_size`
    // bytes borrowed mutably; the answer is a descriptor.
    unsafe { sys::bpf_fd(sys::PROG_LOAD, &mut attr) }
}

fn refused(name: &str, source: std::io::Error, log: &str) -> BpfError {
    let lines: Vec<&str> = log.lines().collect();
    BpfError::Verifier {
        name: name.to_owned(),
        source,
        log: lines[lines.len().saturating_sub(12)..].join(" | "),
    }
}
