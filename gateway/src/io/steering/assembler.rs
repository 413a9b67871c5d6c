//! As much of an assembler as the steering program needs: one register, legacy packet loads, jumps forward.
//!
//! Source: include/uapi/linux/bpf.h, Documentation/bpf/standardization/instruction-set.rst.

/// `struct bpf_insn`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Instruction {
    code: u8,
    registers: u8,
    offset: i16,
    immediate: i32,
}

const _: () = assert!(size_of::<Instruction>() == 8);

/// A place to jump to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Label(usize);

/// A program in the making.
pub(super) struct Assembler {
    code: Vec<Instruction>,
    /// Where each label is, once it is known.
    places: Vec<Option<usize>>,
    /// Jumps, and what they jump to.
    jumps: Vec<(usize, Label)>,
}

/// Result of loads and of the program; what all that follows works on.
const R0: u8 = 0;
/// The program's argument.
const R1: u8 = 1;
/// Where legacy loads expect that argument.
const R6: u8 = 6;

const LOAD_BYTE: u8 = 0x30; // BPF_LD | BPF_B | BPF_ABS
const LOAD_HALF: u8 = 0x28; // BPF_LD | BPF_H | BPF_ABS
const ADD: u8 = 0x07; // BPF_ALU64 | BPF_ADD | BPF_K
const DIVIDE: u8 = 0x37; // BPF_ALU64 | BPF_DIV | BPF_K
const AND: u8 = 0x57; // BPF_ALU64 | BPF_AND | BPF_K
const REMAINDER: u8 = 0x97; // BPF_ALU64 | BPF_MOD | BPF_K
const SET: u8 = 0xb7; // BPF_ALU64 | BPF_MOV | BPF_K
const COPY: u8 = 0xbf; // BPF_ALU64 | BPF_MOV | BPF_X
const JUMP: u8 = 0x05; // BPF_JMP | BPF_JA
const JUMP_IF_EQUAL: u8 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const JUMP_UNLESS_EQUAL: u8 = 0x55; // BPF_JMP | BPF_JNE | BPF_K
const EXIT: u8 = 0x95; // BPF_JMP | BPF_EXIT

impl Assembler {
    /// A program that has kept its argument for the loads to come.
    pub(super) fn start() -> Self {
        let mut program = Self { code: Vec::new(), places: Vec::new(), jumps: Vec::new() };
        // Bit fields: the destination comes first in memory order of bits.
        let registers = if cfg!(target_endian = "little") { R1 << 4 | R6 } else { R6 << 4 | R1 };
        program.code.push(Instruction { code: COPY, registers, offset: 0, immediate: 0 });
        program
    }

    /// A label for a place that is still to come.
    pub(super) fn label(&mut self) -> Label {
        self.places.push(None);
        Label(self.places.len() - 1)
    }

    /// The label's place is here.
    pub(super) fn bind(&mut self, label: Label) {
        self.places[label.0] = Some(self.code.len());
    }

    /// Loads the byte at `at` of the frame.
    pub(super) fn load_byte(&mut self, at: i32) {
        self.push(LOAD_BYTE, at);
    }

    /// Loads the 16 bits at `at` of the frame, in network byte order.
    pub(super) fn load_half(&mut self, at: i32) {
        self.push(LOAD_HALF, at);
    }

    pub(super) fn add(&mut self, value: i32) {
        self.push(ADD, value);
    }

    pub(super) fn divide(&mut self, by: i32) {
        self.push(DIVIDE, by);
    }

    pub(super) fn remainder(&mut self, by: i32) {
        self.push(REMAINDER, by);
    }

    pub(super) fn and(&mut self, mask: i32) {
        self.push(AND, mask);
    }

    pub(super) fn set(&mut self, value: i32) {
        self.push(SET, value);
    }

    pub(super) fn exit(&mut self) {
        self.push(EXIT, 0);
    }

    pub(super) fn jump(&mut self, to: Label) {
        self.push_jump(JUMP, 0, to);
    }

    pub(super) fn jump_if(&mut self, value: i32, to: Label) {
        self.push_jump(JUMP_IF_EQUAL, value, to);
    }

    pub(super) fn jump_unless(&mut self, value: i32, to: Label) {
        self.push_jump(JUMP_UNLESS_EQUAL, value, to);
    }

    /// The program, its jumps resolved.
    pub(super) fn finish(mut self) -> Vec<Instruction> {
        for (from, label) in self.jumps {
            let to = self.places[label.0].expect("every label is bound");
            // Counted from the instruction that follows.
            self.code[from].offset = i16::try_from(to - from - 1).expect("the program is short");
        }
        self.code
    }

    fn push(&mut self, code: u8, immediate: i32) {
        self.code.push(Instruction { code, registers: R0, offset: 0, immediate });
    }

    fn push_jump(&mut self, code: u8, immediate: i32, to: Label) {
        self.jumps.push((self.code.len(), to));
        self.push(code, immediate);
    }
}
