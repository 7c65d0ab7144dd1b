//! Maps: key-value stores in the kernel that programs and processes share.
#![allow(
    unsafe_code,
    reason = "bpf(2) takes addresses; every call here passes slices whose lengths were checked"
)]

use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use super::{BpfError, sys};

/// `BPF_MAP_TYPE_HASH`
const HASH: u32 = 1;

/// What the kernel says about a map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapInfo {
    /// The kernel's number for the map, unique until it is freed.
    pub id: u32,
    /// Up to [`super::NAME_LEN`] bytes.
    pub name: String,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Most elements it holds.
    pub max_entries: u32,
}

/// A map; lives as long as a descriptor, a program or a pin refers to it.
#[derive(Debug)]
pub struct Map {
    fd: OwnedFd,
    key_size: usize,
    value_size: usize,
    name: String,
}

impl Map {
    /// Makes a hash table of at most `max_entries` elements. Needs `CAP_BPF`.
    ///
    /// All its memory is taken now: a later update never fails for want of it (allocating element by
    /// element does so in bursts).
    ///
    /// # Errors
    /// EPERM without the capability, EINVAL or E2BIG for sizes the kernel refuses, ENOMEM.
    pub fn create(
        name: &str,
        key_size: u32,
        value_size: u32,
        max_entries: u32,
    ) -> Result<Self, BpfError> {
        let mut attr = sys::MapCreate {
            map_type: HASH,
            key_size,
            value_size,
            max_entries,
            name: sys::name(name),
            ..Default::default()
        };
        // SAFETY: MAP_CREATE reads no memory but `attr` and answers with a descriptor.
        let fd = unsafe { sys::bpf_fd(sys::MAP_CREATE, &mut attr) }
            .map_err(|e| BpfError::command(format!("create the BPF map {name}"), e))?;
        Ok(Self {
            fd,
            key_size: key_size as usize,
            value_size: value_size as usize,
            name: name.to_owned(),
        })
    }

    /// The map with the kernel's number `id`. Needs `CAP_SYS_ADMIN`.
    ///
    /// # Errors
    /// ENOENT when it is gone, EPERM without the capability.
    pub fn from_id(id: u32) -> Result<Self, BpfError> {
        let mut attr = sys::GetById { id, ..Default::default() };
        // SAFETY: the command reads no memory but `attr` and answers with a descriptor.
        let fd = unsafe { sys::bpf_fd(sys::MAP_GET_FD_BY_ID, &mut attr) }
            .map_err(|e| BpfError::command(format!("open the BPF map with id {id}"), e))?;
        let info = info(&fd)?;
        Ok(Self {
            fd,
            key_size: info.key_size as usize,
            value_size: info.value_size as usize,
            name: info.name,
        })
    }

    /// What the kernel says about it.
    ///
    /// # Errors
    /// None known for a live descriptor.
    pub fn info(&self) -> Result<MapInfo, BpfError> {
        info(&self.fd)
    }

    /// Sets `key` to `value`, whether it was there or not; readers see the old or the new value whole.
    ///
    /// # Errors
    /// E2BIG when the map is full, ENOMEM.
    ///
    /// # Panics
    /// When `key` or `value` is not of the map's size.
    pub fn update(&self, key: &[u8], value: &[u8]) -> Result<(), BpfError> {
        assert_eq!(key.len(), self.key_size, "key of map {}", self.name);
        assert_eq!(value.len(), self.value_size, "value of map {}", self.name);
        let mut attr = self.element(key, sys::address(value));
        // SAFETY: key and value are as long as the map's sizes, asserted above; the kernel only reads them.
        unsafe { sys::bpf(sys::MAP_UPDATE_ELEM, &mut attr) }
            .map(|_| ())
            .map_err(|e| BpfError::command(format!("write to the BPF map {}", self.name), e))
    }

    /// Removes `key`; false when it was not there.
    ///
    /// # Errors
    /// None known for a live descriptor.
    ///
    /// # Panics
    /// When `key` is not of the map's size.
    pub fn delete(&self, key: &[u8]) -> Result<bool, BpfError> {
        assert_eq!(key.len(), self.key_size, "key of map {}", self.name);
        let mut attr = self.element(key, 0);
        // SAFETY: the key is as long as the map's key size, asserted above; the kernel only reads it.
        let answer = unsafe { sys::bpf(sys::MAP_DELETE_ELEM, &mut attr) };
        self.found(answer, "delete from")
    }

    /// Reads the value of `key` into `value`; false when it is not there.
    ///
    /// # Errors
    /// None known for a live descriptor.
    ///
    /// # Panics
    /// When `key` or `value` is not of the map's size.
    pub fn lookup(&self, key: &[u8], value: &mut [u8]) -> Result<bool, BpfError> {
        assert_eq!(key.len(), self.key_size, "key of map {}", self.name);
        assert_eq!(value.len(), self.value_size, "value of map {}", self.name);
        let mut attr = self.element(key, sys::address_mut(value));
        // SAFETY: key and value are as long as the map's sizes, asserted above; `value` is borrowed mutably.
        let answer = unsafe { sys::bpf(sys::MAP_LOOKUP_ELEM, &mut attr) };
        self.found(answer, "read")
    }

    /// All keys, in no particular order. Elements that come or go meanwhile may be missed or seen.
    ///
    /// # Errors
    /// None known for a live descriptor.
    pub fn keys(&self) -> Result<Vec<Vec<u8>>, BpfError> {
        let mut keys: Vec<Vec<u8>> = Vec::new();
        loop {
            let mut next = vec![0; self.key_size];
            let after = keys.last().map_or(0, |key| sys::address(key));
            let mut attr = sys::MapElem {
                map_fd: sys::raw(&self.fd),
                key: after,
                value: sys::address_mut(&mut next),
                ..Default::default()
            };
            // SAFETY: `key` is null or a key of the map's size held by `keys`; `next` is of that size too
            // and borrowed mutably.
            let answer = unsafe { sys::bpf(sys::MAP_GET_NEXT_KEY, &mut attr) };
            if !self.found(answer, "list")? {
                return Ok(keys);
            }
            keys.push(next);
        }
    }

    fn element(&self, key: &[u8], value: u64) -> sys::MapElem {
        sys::MapElem {
            map_fd: sys::raw(&self.fd),
            key: sys::address(key),
            value,
            ..Default::default()
        }
    }

    fn found(&self, answer: std::io::Result<u32>, verb: &str) -> Result<bool, BpfError> {
        match answer {
            Ok(_) => Ok(true),
            Err(e) if e.raw_os_error() == Some(libc::ENOENT) => Ok(false),
            Err(e) => Err(BpfError::command(format!("{verb} the BPF map {}", self.name), e)),
        }
    }
}

impl AsRawFd for Map {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

fn info(fd: &OwnedFd) -> Result<MapInfo, BpfError> {
    let mut raw = [sys::MapInfoRaw::default()];
    let mut attr = sys::GetInfo {
        fd: sys::raw(fd),
        info_len: sys::size(size_of::<sys::MapInfoRaw>()),
        info: sys::address_mut(&mut raw),
    };
    // SAFETY: `info` is exactly `info_len` bytes, plain integers, borrowed mutably.
    unsafe { sys::bpf(sys::OBJ_GET_INFO_BY_FD, &mut attr) }
        .map_err(|e| BpfError::command("read what the kernel knows of a BPF map", e))?;
    let [raw] = raw;
    Ok(MapInfo {
        id: raw.id,
        name: sys::text(&raw.name),
        key_size: raw.key_size,
        value_size: raw.value_size,
        max_entries: raw.max_entries,
    })
}
