//! Writes a command of 25 MB, all of it functions, as an interpreter is: `make-large-module OUT.wasm`.
//!
//! The command calls every one of them, so that all of its code is run and not only mapped, and prints [`LINE`]. The same
//! bytes come out each time.

use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, DataSection, ElementSection, Elements, EntityType,
    ExportKind, ExportSection, Function, FunctionSection, ImportSection, InstructionSink, MemArg,
    MemArgTarget, MemorySection, MemoryType, Module, RefType, TableSection, TableType, TypeSection,
    ValType,
};

/// Bytes of functions, at least.
const SIZE: usize = 25_000_000;
/// What the command says at its end.
const LINE: &[u8] = b"every function has run\n";

/// Statements of a function: about 1.7 kB, which is what functions of an interpreter have between its few giants.
const STATEMENTS: u32 = 100;
/// Its parameter and its variables.
const VARIABLES: u32 = 6;
/// Memory that functions read and write, in bytes.
const HEAP: u32 = 1 << 15;
/// Where the line and the vector that points to it are.
const TEXT: u32 = HEAP;
const VECTOR: u32 = TEXT + 64;

// The types.
const FD_WRITE: u32 = 0;
const START: u32 = 1;
const STEP: u32 = 2;

fn main() -> ExitCode {
    let args: Vec<String> = env::args().collect();
    let [_, out] = &args[..] else {
        eprintln!("usage: make-large-module OUT.wasm");
        return ExitCode::from(64);
    };
    match fs::write(Path::new(out), module()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("write {out}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn module() -> Vec<u8> {
    let mut random = Random(1);
    let mut code = CodeSection::new();
    let mut steps = 0;
    while code.byte_len() < SIZE {
        code.function(&step(&mut random));
        steps += 1;
    }
    let start = steps + 1;
    code.function(&run_all(steps));

    let mut types = TypeSection::new();
    types.ty().function([ValType::I32; 4], [ValType::I32]);
    types.ty().function([], []);
    types.ty().function([ValType::I32], [ValType::I32]);
    let mut imports = ImportSection::new();
    imports.import(
        "wasi_snapshot_preview1",
        "fd_write",
        EntityType::Function(FD_WRITE),
    );
    let mut functions = FunctionSection::new();
    for _ in 0..steps {
        functions.function(STEP);
    }
    functions.function(START);
    let mut tables = TableSection::new();
    tables.table(TableType {
        element_type: RefType::FUNCREF,
        table64: false,
        minimum: steps.into(),
        maximum: Some(steps.into()),
        shared: false,
    });
    let mut memories = MemorySection::new();
    memories.memory(MemoryType {
        minimum: 1,
        maximum: None,
        memory64: false,
        shared: false,
        page_size_log2: None,
    });
    let mut exports = ExportSection::new();
    exports.export("memory", ExportKind::Memory, 0);
    exports.export("_start", ExportKind::Func, start);
    let mut elements = ElementSection::new();
    let all: Vec<u32> = (1..=steps).collect();
    elements.active(
        None,
        &ConstExpr::i32_const(0),
        Elements::Functions(all.into()),
    );
    let mut data = DataSection::new();
    data.active(0, &offset(TEXT), LINE.iter().copied());
    let mut vector = TEXT.to_le_bytes().to_vec();
    vector.extend((LINE.len() as u32).to_le_bytes());
    data.active(0, &offset(VECTOR), vector);

    let mut module = Module::new();
    module
        .section(&types)
        .section(&imports)
        .section(&functions)
        .section(&tables)
        .section(&memories)
        .section(&exports)
        .section(&elements)
        .section(&code)
        .section(&data);
    module.finish()
}

fn offset(at: u32) -> ConstExpr {
    ConstExpr::i32_const(at.cast_signed())
}

/// `_start`: hands a number from function to function, and says so.
fn run_all(steps: u32) -> Function {
    let (index, number) = (0, 1);
    let mut function = Function::new([(2, ValType::I32)]);
    function
        .instructions()
        .loop_(BlockType::Empty)
        .local_get(number)
        .local_get(index)
        .call_indirect(0, STEP)
        .local_set(number)
        .local_get(index)
        .i32_const(1)
        .i32_add()
        .local_tee(index)
        .i32_const(steps.cast_signed())
        .i32_lt_u()
        .br_if(0)
        .end()
        .i32_const(1)
        .i32_const(VECTOR.cast_signed())
        .i32_const(1)
        // Nobody reads how much was written.
        .i32_const((VECTOR + 8).cast_signed())
        .call(0)
        .drop()
        .end();
    function
}

/// A function of statements as a compiler emits them: arithmetic, memory, branches.
fn step(random: &mut Random) -> Function {
    let mut function = Function::new([(VARIABLES - 1, ValType::I32)]);
    let mut code = function.instructions();
    for _ in 0..STATEMENTS {
        statement(&mut code, random);
    }
    code.local_get(random.variable())
        .local_get(random.variable())
        .i32_xor()
        .end();
    function
}

fn statement(code: &mut InstructionSink<'_>, random: &mut Random) {
    match random.below(6) {
        0 => {
            code.local_get(random.variable())
                .i32_const(random.constant())
                .i32_mul()
                .local_get(random.variable())
                .i32_add()
                .local_set(random.variable());
        }
        1 => {
            code.local_get(random.variable())
                .local_get(random.variable())
                .i32_const(random.constant())
                .i32_rotl()
                .i32_xor()
                .local_set(random.variable());
        }
        2 => {
            address(code, random);
            code.i32_load(random.place()).local_set(random.variable());
        }
        3 => {
            address(code, random);
            code.local_get(random.variable()).i32_store(random.place());
        }
        4 => {
            code.local_get(random.variable())
                .local_get(random.variable())
                .i32_lt_u()
                .if_(BlockType::Empty)
                .local_get(random.variable())
                .i32_const(random.constant())
                .i32_sub()
                .local_set(random.variable())
                .else_()
                .local_get(random.variable())
                .local_get(random.variable())
                .i32_or()
                .local_set(random.variable())
                .end();
        }
        _ => {
            code.local_get(random.variable())
                .i32_const(random.constant())
                .i32_shr_u()
                .local_get(random.variable())
                .local_get(random.variable())
                .i32_eq()
                .i32_sub()
                .local_set(random.variable());
        }
    }
}

/// Some address within half of the heap; the other half is for the offset.
fn address(code: &mut InstructionSink<'_>, random: &mut Random) {
    code.local_get(random.variable())
        .i32_const((HEAP / 2 - 4).cast_signed())
        .i32_and();
}

/// Knuth's linear congruential generator: no secret, and the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u32) -> u32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as u32 % bound
    }

    fn variable(&mut self) -> u32 {
        self.below(VARIABLES)
    }

    fn constant(&mut self) -> i32 {
        self.below(1 << 20).cast_signed() - (1 << 19)
    }

    fn place(&mut self) -> MemArg {
        MemArg {
            offset: u64::from(self.below(HEAP / 8) * 4),
            align: 2,
            target: MemArgTarget::Memory(0),
            ordering: None,
        }
    }
}
