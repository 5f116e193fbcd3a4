//! What a file is that is not WebAssembly.

use slipway_shim_engine::imports::printable;

/// Magic number and version of core modules (WebAssembly core specification, 5.5.16).
const MODULE: &[u8; 8] = b"\0asm\x01\0\0\0";
/// The same of components (component model, `Binary.md`).
const COMPONENT: &[u8; 8] = b"\0asm\x0d\0\x01\0";

/// Looks at the bytes of a file and says why it cannot be WebAssembly. `Ok` says nothing about the rest.
pub(crate) fn diagnose(bytes: &[u8]) -> Result<(), String> {
    if bytes.starts_with(MODULE) || bytes.starts_with(COMPONENT) {
        return Ok(());
    }
    Err(match bytes {
        [] => "is empty".to_owned(),
        [0, b'a', b's', b'm', rest @ ..] => match rest {
            [a, b, c, d, ..] => {
                let version = u16::from_le_bytes([*a, *b]);
                let layer = u16::from_le_bytes([*c, *d]);
                format!("is WebAssembly of an unknown version ({version}, layer {layer})")
            }
            _ => format!("is WebAssembly cut off after {} bytes", bytes.len()),
        },
        [0x7f, b'E', b'L', b'F', ..] => elf(bytes),
        [b'#', b'!', ..] => "is a script, not WebAssembly".to_owned(),
        [b'M', b'Z', ..] => "is a Windows program, not WebAssembly".to_owned(),
        [b'P', b'K', 3, 4, ..] => "is a zip archive, not WebAssembly".to_owned(),
        [0x1f, 0x8b, ..] => "is compressed by gzip, not WebAssembly".to_owned(),
        _ => text(bytes),
    })
}

fn elf(bytes: &[u8]) -> String {
    // ELFOSABI of wasmtime's own files (wasmtime-environ 48, `obj.rs`).
    if bytes.get(7) == Some(&200) {
        return "is code compiled by wasmtime; native code is never taken from an image, ship the \
                WebAssembly instead"
            .to_owned();
    }
    let machine = match bytes.get(18..20) {
        Some(&[0x3e, 0]) => "x86-64",
        Some(&[0xb7, 0]) => "arm64",
        Some(&[0x03, 0]) => "x86",
        Some(&[0x28, 0]) => "arm",
        Some(&[0xf3, 0]) => "RISC-V",
        _ => "another machine",
    };
    format!("is a native program (ELF for {machine}), not WebAssembly")
}

fn text(bytes: &[u8]) -> String {
    let head = &bytes[..bytes.len().min(64)];
    let valid = match str::from_utf8(head) {
        Ok(text) => text,
        // A character may be cut at the end.
        Err(error) if error.error_len().is_none() => {
            str::from_utf8(&head[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => "",
    };
    let text = valid.trim_start();
    if text.starts_with("(module") || text.starts_with("(component") {
        "is WebAssembly in text form; convert it to binary (wasm-tools parse)".to_owned()
    } else if !text.is_empty() && !text.contains(|c: char| c.is_control() && !c.is_whitespace()) {
        let line: String = text
            .lines()
            .next()
            .unwrap_or_default()
            .chars()
            .take(32)
            .collect();
        format!(
            "is text, not WebAssembly; it starts with {}",
            printable(&line)
        )
    } else {
        let bytes: Vec<_> = head
            .iter()
            .take(4)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        format!(
            "is not WebAssembly; it starts with the bytes {}",
            bytes.join(" ")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn webassembly_is_let_through() {
        assert_eq!(diagnose(b"\0asm\x01\0\0\0..."), Ok(()));
        assert_eq!(diagnose(b"\0asm\x0d\0\x01\0"), Ok(()));
    }

    #[test]
    fn everything_else_is_named() {
        let mut elf = *b"\x7fELF\x02\x01\x01\0________\x02\0\xb7\0";
        let arm = diagnose(&elf).unwrap_err();
        assert_eq!(arm, "is a native program (ELF for arm64), not WebAssembly");
        elf[7] = 200;
        assert!(
            diagnose(&elf)
                .unwrap_err()
                .starts_with("is code compiled by wasmtime")
        );

        let cases: [(&[u8], &str); 9] = [
            (b"", "is empty"),
            (b"\0asm\x01", "is WebAssembly cut off after 5 bytes"),
            (
                b"\0asm\x0a\0\x01\0",
                "is WebAssembly of an unknown version (10, layer 1)",
            ),
            (b"#!/bin/sh\n", "is a script, not WebAssembly"),
            (
                b"hello, world\nand more",
                "is text, not WebAssembly; it starts with `hello, world`",
            ),
            (
                b"\n (module)",
                "is WebAssembly in text form; convert it to binary (wasm-tools parse)",
            ),
            (
                &[0xff, 0, 1, 2, 3],
                "is not WebAssembly; it starts with the bytes ff 00 01 02",
            ),
            (
                b"\0\0\0\0\0\0\0\0",
                "is not WebAssembly; it starts with the bytes 00 00 00 00",
            ),
            (b"PK\x03\x04", "is a zip archive, not WebAssembly"),
        ];
        for (bytes, expected) in cases {
            assert_eq!(diagnose(bytes).unwrap_err(), expected);
        }
    }
}
