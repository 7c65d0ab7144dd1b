//! The system call itself and the layouts it reads (`include/uapi/linux/bpf.h`).
#![allow(
    unsafe_code,
    reason = "bpf(2) has no safe wrapper; this file is the only place that calls it"
)]

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

pub(super) const MAP_CREATE: u32 = 0;
pub(super) const MAP_LOOKUP_ELEM: u32 = 1;
pub(super) const MAP_UPDATE_ELEM: u32 = 2;
pub(super) const MAP_DELETE_ELEM: u32 = 3;
pub(super) const MAP_GET_NEXT_KEY: u32 = 4;
pub(super) const PROG_LOAD: u32 = 5;
pub(super) const PROG_ATTACH: u32 = 8;
pub(super) const PROG_DETACH: u32 = 9;
pub(super) const PROG_TEST_RUN: u32 = 10;
pub(super) const PROG_GET_FD_BY_ID: u32 = 13;
pub(super) const MAP_GET_FD_BY_ID: u32 = 14;
pub(super) const OBJ_GET_INFO_BY_FD: u32 = 15;
pub(super) const PROG_QUERY: u32 = 16;

/// `BPF_MAP_CREATE`.
#[repr(C)]
#[derive(Default)]
pub(super) struct MapCreate {
    pub(super) map_type: u32,
    pub(super) key_size: u32,
    pub(super) value_size: u32,
    pub(super) max_entries: u32,
    pub(super) map_flags: u32,
    pub(super) inner_map_fd: u32,
    pub(super) numa_node: u32,
    pub(super) name: [u8; 16],
    pub(super) ifindex: u32,
}

/// `BPF_MAP_*_ELEM` and `BPF_MAP_GET_NEXT_KEY`; `value` is the next key in the latter.
#[repr(C)]
#[derive(Default)]
pub(super) struct MapElem {
    pub(super) map_fd: u32,
    pub(super) pad: u32,
    pub(super) key: u64,
    pub(super) value: u64,
    pub(super) flags: u64,
}

/// `BPF_PROG_LOAD`.
#[repr(C)]
#[derive(Default)]
pub(super) struct ProgLoad {
    pub(super) prog_type: u32,
    pub(super) insn_cnt: u32,
    pub(super) insns: u64,
    pub(super) license: u64,
    pub(super) log_level: u32,
    pub(super) log_size: u32,
    pub(super) log_buf: u64,
    pub(super) kern_version: u32,
    pub(super) prog_flags: u32,
    pub(super) name: [u8; 16],
    pub(super) ifindex: u32,
    pub(super) expected_attach_type: u32,
}

/// `BPF_PROG_ATTACH` and `BPF_PROG_DETACH`.
#[repr(C)]
#[derive(Default)]
pub(super) struct Attach {
    pub(super) target: u32,
    pub(super) prog_fd: u32,
    pub(super) attach_type: u32,
    pub(super) flags: u32,
    pub(super) replace_fd: u32,
    pub(super) relative: u32,
    pub(super) expected_revision: u64,
}

/// `BPF_PROG_TEST_RUN`.
#[repr(C)]
#[derive(Default)]
pub(super) struct TestRun {
    pub(super) prog_fd: u32,
    pub(super) retval: u32,
    pub(super) data_size_in: u32,
    pub(super) data_size_out: u32,
    pub(super) data_in: u64,
    pub(super) data_out: u64,
    pub(super) repeat: u32,
    pub(super) duration: u32,
    pub(super) ctx_size_in: u32,
    pub(super) ctx_size_out: u32,
    pub(super) ctx_in: u64,
    pub(super) ctx_out: u64,
}

/// `BPF_*_GET_FD_BY_ID`.
#[repr(C)]
#[derive(Default)]
pub(super) struct GetById {
    pub(super) id: u32,
    pub(super) next_id: u32,
    pub(super) open_flags: u32,
    pub(super) pad: u32,
}

/// `BPF_OBJ_GET_INFO_BY_FD`.
#[repr(C)]
#[derive(Default)]
pub(super) struct GetInfo {
    pub(super) fd: u32,
    pub(super) info_len: u32,
    pub(super) info: u64,
}

/// `BPF_PROG_QUERY` on a network device.
#[repr(C)]
#[derive(Default)]
pub(super) struct Query {
    pub(super) target: u32,
    pub(super) attach_type: u32,
    pub(super) query_flags: u32,
    pub(super) attach_flags: u32,
    pub(super) prog_ids: u64,
    pub(super) count: u32,
    pub(super) pad: u32,
    pub(super) prog_attach_flags: u64,
    pub(super) link_ids: u64,
    pub(super) link_attach_flags: u64,
    pub(super) revision: u64,
}

/// `struct bpf_prog_info`, as far as it is read here.
#[repr(C)]
#[derive(Default)]
pub(super) struct ProgInfo {
    pub(super) prog_type: u32,
    pub(super) id: u32,
    pub(super) tag: [u8; 8],
    pub(super) jited_len: u32,
    pub(super) xlated_len: u32,
    pub(super) jited_insns: u64,
    pub(super) xlated_insns: u64,
    pub(super) load_time: u64,
    pub(super) created_by_uid: u32,
    pub(super) nr_map_ids: u32,
    pub(super) map_ids: u64,
    pub(super) name: [u8; 16],
}

/// `struct bpf_map_info`, as far as it is read here.
#[repr(C)]
#[derive(Default)]
pub(super) struct MapInfoRaw {
    pub(super) map_type: u32,
    pub(super) id: u32,
    pub(super) key_size: u32,
    pub(super) value_size: u32,
    pub(super) max_entries: u32,
    pub(super) map_flags: u32,
    pub(super) name: [u8; 16],
}

/// A layout of the `bpf_attr` union.
///
/// # Safety
/// The type must be `repr(C)`, without padding the kernel would read as a field.
pub(super) unsafe trait Attr {}
// SAFETY: each is `repr(C)` with every gap spelled out as a field, zero by `Default`. Tail padding is
// never read by the kernel as a field of these commands (it lies past the last field we know).
unsafe impl Attr for MapCreate {}
// SAFETY: as above.
unsafe impl Attr for MapElem {}
// SAFETY: as above.
unsafe impl Attr for ProgLoad {}
// SAFETY: as above.
unsafe impl Attr for Attach {}
// SAFETY: as above.
unsafe impl Attr for TestRun {}
// SAFETY: as above.
unsafe impl Attr for GetById {}
// SAFETY: as above.
unsafe impl Attr for GetInfo {}
// SAFETY: as above.
unsafe impl Attr for Query {}

/// Calls `bpf(2)`; the kernel may write results into `attr`.
///
/// # Safety
/// Every address in `attr` must point to memory that lives through the call and is as long as the sizes in
/// `attr` (or the object behind its descriptor) say; memory the kernel writes must not be borrowed.
pub(super) unsafe fn bpf<T: Attr>(command: u32, attr: &mut T) -> io::Result<u32> {
    // SAFETY: `attr` is a live, exclusive, initialised value of the size given; what it points to is the
    // caller's promise.
    let answer =
        unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attr), size_of::<T>()) };
    u32::try_from(answer).map_err(|_| io::Error::last_os_error())
}

/// Like [`bpf`], for commands that answer with a new descriptor.
///
/// # Safety
/// As [`bpf`], and `command` must be one whose answer is a descriptor.
pub(super) unsafe fn bpf_fd<T: Attr>(command: u32, attr: &mut T) -> io::Result<OwnedFd> {
    // SAFETY: passed on to the caller.
    let answer = unsafe { bpf(command, attr)? };
    let raw = i32::try_from(answer).map_err(|_| io::Error::from_raw_os_error(libc::EBADF))?;
    // SAFETY: the kernel has just made this descriptor for us (close-on-exec), and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// A descriptor as the kernel's layouts want it.
pub(super) fn raw(fd: &impl std::os::fd::AsRawFd) -> u32 {
    u32::try_from(fd.as_raw_fd()).unwrap_or(u32::MAX)
}

/// The size of `bytes` as the kernel's layouts want it.
pub(super) fn size(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// The address of `data` as the kernel's layouts want it.
pub(super) fn address<T>(data: &[T]) -> u64 {
    data.as_ptr().addr() as u64
}

/// The address of `data` for the kernel to write to.
pub(super) fn address_mut<T>(data: &mut [T]) -> u64 {
    data.as_mut_ptr().addr() as u64
}

/// `text` as a kernel object name, cut to [`super::NAME_LEN`].
pub(super) fn name(text: &str) -> [u8; 16] {
    let mut name = [0; 16];
    for (slot, byte) in name.iter_mut().take(super::NAME_LEN).zip(text.bytes()) {
        *slot = byte;
    }
    name
}

/// A kernel object name as text.
pub(super) fn text(name: &[u8; 16]) -> String {
    let end = name.iter().position(|&b| b == 0).unwrap_or(name.len());
    String::from_utf8_lossy(&name[..end]).into_owned()
}
