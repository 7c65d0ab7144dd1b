//! An assembler for BPF: named registers, labels, one method per instruction.
//!
//! Encoding: RFC 9669 §3. Eight bytes an instruction: opcode, registers, 16-bit offset, 32-bit immediate.
//!
//! ```
//! use haven_host::bpf::asm::{Assembler, Condition, R0, R1, Width};
//!
//! let mut asm = Assembler::new();
//! let done = asm.label();
//! asm.load(Width::Word, R0, R1, 0); // the frame's length
//! asm.jump_if_imm(Condition::Less, R0, 60, done);
//! asm.set(R0, 60);
//! asm.bind(done);
//! asm.exit();
//! assert_eq!(asm.assemble()?.len(), 4);
//! # Ok::<(), haven_host::bpf::asm::AssembleError>(())
//! ```

use std::os::fd::AsRawFd;

use super::Map;

/// A register; R1 to R5 carry arguments and are lost in a call, R6 to R9 survive it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Register(u8);

/// Results of calls and of the program.
pub const R0: Register = Register(0);
/// First argument; the context when the program starts.
pub const R1: Register = Register(1);
/// Second argument.
pub const R2: Register = Register(2);
/// Third argument.
pub const R3: Register = Register(3);
/// Fourth argument.
pub const R4: Register = Register(4);
/// Fifth argument.
pub const R5: Register = Register(5);
/// Survives calls.
pub const R6: Register = Register(6);
/// Survives calls.
pub const R7: Register = Register(7);
/// Survives calls.
pub const R8: Register = Register(8);
/// Survives calls.
pub const R9: Register = Register(9);
/// The end of the 512-byte stack, read-only: locals have negative offsets.
pub const FRAME: Register = Register(10);

/// Width of a load or store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    /// 8 bits.
    Byte,
    /// 16 bits.
    Half,
    /// 32 bits.
    Word,
    /// 64 bits.
    Double,
}

impl Width {
    const fn bits(self) -> u8 {
        match self {
            Self::Word => 0x00,
            Self::Half => 0x08,
            Self::Byte => 0x10,
            Self::Double => 0x18,
        }
    }
}

/// When a jump is taken; comparisons are unsigned over 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// left = right
    Equal,
    /// left ≠ right
    NotEqual,
    /// left < right
    Less,
    /// left ≤ right
    LessOrEqual,
    /// left > right
    Greater,
    /// left ≥ right
    GreaterOrEqual,
    /// left and right have a bit in common
    AnyBit,
}

impl Condition {
    const fn opcode(self) -> u8 {
        match self {
            Self::Equal => 0x10,
            Self::Greater => 0x20,
            Self::GreaterOrEqual => 0x30,
            Self::AnyBit => 0x40,
            Self::NotEqual => 0x50,
            Self::Less => 0xa0,
            Self::LessOrEqual => 0xb0,
        }
    }
}

/// Functions of the kernel a packet program may call (`enum bpf_func_id`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Helper {
    /// (map, address of key) → address of the value or 0
    MapLookup,
    /// (context, offset, address, length) → 0, or negative when the frame is shorter
    LoadBytes,
    /// (context, offset, address, length, 1 = from the network header) → as [`Helper::LoadBytes`]
    LoadBytesRelative,
    /// () → `CLOCK_BOOTTIME` in nanoseconds (kernel 5.8)
    BootTime,
}

impl Helper {
    const fn number(self) -> i32 {
        match self {
            Self::MapLookup => 1,
            Self::LoadBytes => 26,
            Self::LoadBytesRelative => 68,
            Self::BootTime => 125,
        }
    }
}

/// A place in the program to jump to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label(usize);

/// A program that cannot be encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AssembleError {
    /// A jump to a label that was never bound.
    #[error("instruction {at} of a BPF program jumps to a label that is bound nowhere")]
    Unbound {
        /// Index of the jump.
        at: usize,
    },
    /// A jump of more than 32,767 instructions.
    #[error("instruction {at} of a BPF program jumps further than the format allows")]
    TooFar {
        /// Index of the jump.
        at: usize,
    },
}

#[derive(Debug, Clone, Copy)]
struct Instruction {
    opcode: u8,
    destination: Register,
    source: Register,
    offset: i16,
    immediate: i32,
}

/// Collects instructions; see the module's example.
#[derive(Debug, Default)]
pub struct Assembler {
    code: Vec<Instruction>,
    jumps: Vec<(usize, Label)>,
    labels: Vec<Option<usize>>,
}

const JUMP: u8 = 0x05;
const ARITHMETIC: u8 = 0x07;
const REGISTER: u8 = 0x08;

impl Assembler {
    /// An empty program.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A new label, to be bound once.
    pub fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    /// The next instruction is where `label` points.
    ///
    /// # Panics
    /// When it is bound already.
    pub fn bind(&mut self, label: Label) {
        let place = self.labels[label.0].replace(self.code.len());
        assert_eq!(place, None, "a label is bound once");
    }

    /// destination = source
    pub fn copy(&mut self, destination: Register, source: Register) {
        self.push(0xb0 | REGISTER | ARITHMETIC, destination, source, 0, 0);
    }

    /// destination = value, sign-extended
    pub fn set(&mut self, destination: Register, value: i32) {
        self.push(0xb0 | ARITHMETIC, destination, R0, 0, value);
    }

    /// destination += source
    pub fn add(&mut self, destination: Register, source: Register) {
        self.push(REGISTER | ARITHMETIC, destination, source, 0, 0);
    }

    /// destination += value
    pub fn add_imm(&mut self, destination: Register, value: i32) {
        self.push(ARITHMETIC, destination, R0, 0, value);
    }

    /// destination &= value
    pub fn and_imm(&mut self, destination: Register, value: i32) {
        self.push(0x50 | ARITHMETIC, destination, R0, 0, value);
    }

    /// destination <<= bits
    pub fn shift_left(&mut self, destination: Register, bits: i32) {
        self.push(0x60 | ARITHMETIC, destination, R0, 0, bits);
    }

    /// destination >>= bits, zeros coming in
    pub fn shift_right(&mut self, destination: Register, bits: i32) {
        self.push(0x70 | ARITHMETIC, destination, R0, 0, bits);
    }

    /// destination = its low 16 bits, read as big-endian (network order)
    pub fn from_network_half(&mut self, destination: Register) {
        self.push(0xdc, destination, R0, 0, 16);
    }

    /// destination = memory at base + offset, zero-extended
    pub fn load(&mut self, width: Width, destination: Register, base: Register, offset: i16) {
        self.push(0x61 | width.bits(), destination, base, offset, 0);
    }

    /// memory at base + offset = source
    pub fn store(&mut self, width: Width, base: Register, offset: i16, source: Register) {
        self.push(0x63 | width.bits(), base, source, offset, 0);
    }

    /// destination = reference to `map`, for a helper
    pub fn load_map(&mut self, destination: Register, map: &Map) {
        const MAP_FD: Register = Register(1);
        self.push(0x18, destination, MAP_FD, 0, map.as_raw_fd());
        self.push(0, R0, R0, 0, 0);
    }

    /// Goes to `to`.
    pub fn jump(&mut self, to: Label) {
        self.jumps.push((self.code.len(), to));
        self.push(JUMP, R0, R0, 0, 0);
    }

    /// Goes to `to` when `left condition right`.
    pub fn jump_if(&mut self, condition: Condition, left: Register, right: Register, to: Label) {
        self.jumps.push((self.code.len(), to));
        self.push(condition.opcode() | REGISTER | JUMP, left, right, 0, 0);
    }

    /// Goes to `to` when `left condition right`.
    pub fn jump_if_imm(&mut self, condition: Condition, left: Register, right: i32, to: Label) {
        self.jumps.push((self.code.len(), to));
        self.push(condition.opcode() | JUMP, left, R0, 0, right);
    }

    /// R0 = helper(R1 … R5); R1 to R5 are lost
    pub fn call(&mut self, helper: Helper) {
        self.push(0x80 | JUMP, R0, R0, 0, helper.number());
    }

    /// Ends the program; R0 is its verdict.
    pub fn exit(&mut self) {
        self.push(0x90 | JUMP, R0, R0, 0, 0);
    }

    /// The program as the kernel reads it.
    ///
    /// # Errors
    /// A label bound nowhere, a jump too far.
    pub fn assemble(mut self) -> Result<Vec<u64>, AssembleError> {
        for &(at, Label(label)) in &self.jumps {
            let target = self.labels[label].ok_or(AssembleError::Unbound { at })?;
            let (from, to) = (signed(at + 1), signed(target));
            self.code[at].offset =
                i16::try_from(to - from).map_err(|_| AssembleError::TooFar { at })?;
        }
        Ok(self.code.iter().map(|i| i.encode()).collect())
    }

    fn push(&mut self, opcode: u8, to: Register, from: Register, offset: i16, immediate: i32) {
        self.code.push(Instruction { opcode, destination: to, source: from, offset, immediate });
    }
}

fn signed(index: usize) -> i64 {
    i64::try_from(index).unwrap_or(i64::MAX)
}

impl Instruction {
    fn encode(self) -> u64 {
        let (low, high) = if cfg!(target_endian = "little") {
            (self.destination.0, self.source.0)
        } else {
            (self.source.0, self.destination.0)
        };
        let [o0, o1] = self.offset.to_ne_bytes();
        let [i0, i1, i2, i3] = self.immediate.to_ne_bytes();
        u64::from_ne_bytes([self.opcode, high << 4 | low, o0, o1, i0, i1, i2, i3])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_endian = "little")]
    #[test]
    fn encodings_match_the_instruction_set() {
        // Each line checked against the tables of RFC 9669 §4 and §5: opcode, registers, offset, immediate.
        let mut asm = Assembler::new();
        let end = asm.label();
        asm.copy(R6, R1);
        asm.set(R2, -1);
        asm.add_imm(R2, 14);
        asm.load(Width::Half, R7, R6, 16);
        asm.store(Width::Double, FRAME, -8, R7);
        asm.from_network_half(R7);
        asm.jump_if_imm(Condition::NotEqual, R7, 0x0800, end);
        asm.jump_if(Condition::GreaterOrEqual, R0, R9, end);
        asm.call(Helper::BootTime);
        asm.bind(end);
        asm.exit();
        let code: Vec<[u8; 8]> = asm.assemble().unwrap().iter().map(|i| i.to_le_bytes()).collect();
        assert_eq!(
            code,
            [
                [0xbf, 0x16, 0, 0, 0, 0, 0, 0],
                [0xb7, 0x02, 0, 0, 0xff, 0xff, 0xff, 0xff],
                [0x07, 0x02, 0, 0, 14, 0, 0, 0],
                [0x69, 0x67, 16, 0, 0, 0, 0, 0],
                [0x7b, 0x7a, 0xf8, 0xff, 0, 0, 0, 0],
                [0xdc, 0x07, 0, 0, 16, 0, 0, 0],
                [0x55, 0x07, 2, 0, 0, 8, 0, 0],
                [0x3d, 0x90, 1, 0, 0, 0, 0, 0],
                [0x85, 0x00, 0, 0, 125, 0, 0, 0],
                [0x95, 0x00, 0, 0, 0, 0, 0, 0],
            ]
        );
    }

    #[test]
    fn a_jump_to_nowhere_is_refused() {
        let mut asm = Assembler::new();
        let nowhere = asm.label();
        asm.set(R0, 0);
        asm.jump(nowhere);
        assert_eq!(asm.assemble(), Err(AssembleError::Unbound { at: 1 }));
    }

    #[test]
    fn jumps_go_backwards_too() {
        let mut asm = Assembler::new();
        let start = asm.label();
        asm.bind(start);
        asm.set(R0, 0);
        asm.jump(start);
        let code = asm.assemble().unwrap();
        assert_eq!(i16::from_ne_bytes([code[1].to_ne_bytes()[2], code[1].to_ne_bytes()[3]]), -2);
    }

    #[test]
    fn a_jump_beyond_sixteen_bits_is_refused() {
        let mut asm = Assembler::new();
        let far = asm.label();
        asm.jump(far);
        for _ in 0..40_000 {
            asm.set(R0, 0);
        }
        asm.bind(far);
        asm.exit();
        assert_eq!(asm.assemble(), Err(AssembleError::TooFar { at: 0 }));
    }
}
