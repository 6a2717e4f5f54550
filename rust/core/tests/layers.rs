//! The layers of the crate, read from its sources: no module imports a layer above its own, `pure` imports nothing but
//! itself, and the modules of each layer that is listed as acyclic have no import cycle. Unsafe code is in `sys`, and
//! in the two modules of the bindings that are listed here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The layers from the lowest up. A module belongs to the first one that its path starts with.
const LAYERS: [&str; 6] = ["pure", "errno", "error", "sys", "net", "capture"];
/// The layers that import nothing else of the crate.
const CLOSED: [&str; 2] = ["pure", "errno"];
/// The layers whose modules must have no import cycle. The platforms in `sys` share the items of their parents.
const ACYCLIC: [&str; 5] = ["pure", "errno", "error", "net", "capture"];
/// The modules of the bindings with unsafe code: pyo3 declares the buffer protocol unsafe, and has no `Py_AtExit`.
const UNSAFE_BINDINGS: [&str; 2] = ["column", "exit"];

/// The imports of every module: module path, then the paths of the modules that it names.
type Imports = BTreeMap<String, BTreeSet<String>>;

/// Read all sources under a folder. The path of `net/ring/queue.rs` is `net::ring::queue`, that of `net/mod.rs` is
/// `net`.
fn read_sources(folder: &Path, module: &str, sources: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let name = match (module, stem.as_str()) {
            (_, "mod") => module.to_owned(),
            ("", "lib") => "crate".to_owned(),
            ("", _) => stem,
            _ => format!("{module}::{stem}"),
        };
        if path.is_dir() {
            read_sources(&path, &name, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.insert(name, fs::read_to_string(&path).unwrap());
        }
    }
}

/// Blank comments and string literals, which can contain anything.
fn code_of(source: &str) -> String {
    let mut code = String::new();
    for line in source.lines() {
        let mut rest = line;
        let mut in_string = false;
        while let Some(next) = rest.chars().next() {
            if in_string && next == '\\' {
                rest = rest.get(2..).unwrap_or_default();
                continue;
            }
            if !in_string && rest.starts_with("//") {
                break;
            }
            if rest.starts_with("'\"'") {
                rest = &rest[3..];
                continue;
            }
            if next == '"' {
                in_string = !in_string;
            } else if !in_string {
                code.push(next);
            }
            rest = &rest[next.len_utf8()..];
        }
        code.push('\n');
    }
    code
}

/// Split `use` trees and expressions into single paths: `a::{b, c::d}` gives `a::b` and `a::c::d`.
fn paths_in(text: &str, prefix: &str, found: &mut Vec<String>) {
    let text = text.trim();
    match text.find('{') {
        None => text.split(',').for_each(|path| {
            let path = path.trim().split(" as ").next().unwrap_or_default();
            if !path.is_empty() {
                found.push(format!("{prefix}{path}"));
            }
        }),
        Some(open) => {
            let before = &text[..open];
            let (singles, head) = before.rsplit_once(',').unwrap_or(("", before));
            paths_in(singles, prefix, found);
            let mut depth = 0;
            let close = text[open..]
                .find(|c| {
                    depth += i32::from(c == '{') - i32::from(c == '}');
                    depth == 0
                })
                .unwrap();
            paths_in(&text[open + 1..open + close], &format!("{prefix}{}", head.trim()), found);
            paths_in(text[open + close + 1..].trim_start_matches(','), prefix, found);
        }
    }
}

/// Every path of the crate that a module names, in `use` declarations and elsewhere, made absolute.
fn paths_of(module: &str, sources: &BTreeMap<String, String>) -> Vec<String> {
    let code = code_of(&sources[module]);
    let mut found = Vec::new();
    // For each open brace: whether it belongs to an inline module.
    let mut braces: Vec<bool> = Vec::new();
    let mut rest = code.as_str();
    let mut after_mod = false;
    while let Some(next) = rest.chars().next() {
        let starts_word = rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
        let mut length = next.len_utf8();
        if starts_word {
            length = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(rest.len());
            let word = &rest[..length];
            let depth = braces.iter().filter(|is_mod| **is_mod).count();
            if word == "use" {
                let end = rest.find(';').unwrap();
                let mut paths = Vec::new();
                paths_in(&rest[length..end], "", &mut paths);
                found.extend(paths.iter().filter_map(|path| absolute(module, depth, path, sources)));
                length = end;
            } else if word == "mod" {
                after_mod = true;
            } else if word == "pub" && rest[length..].starts_with("(in ") {
                // A visibility names a module without importing it.
                length = rest.find(')').unwrap();
            } else if word.contains("::") {
                found.extend(absolute(module, depth, word, sources));
            }
        } else if next == '{' {
            braces.push(std::mem::take(&mut after_mod));
        } else if next == '}' {
            braces.pop();
        } else if next == ';' {
            after_mod = false;
        }
        rest = &rest[length..];
    }
    found
}

/// Make a path absolute, without the leading `crate`. Returns `None` for paths of other crates.
fn absolute(module: &str, inline_depth: usize, path: &str, sources: &BTreeMap<String, String>) -> Option<String> {
    let mut base: Vec<&str> = if module == "crate" { Vec::new() } else { module.split("::").collect() };
    base.extend(std::iter::repeat_n("?", inline_depth));
    let mut parts = path.split("::").map(str::trim).peekable();
    match parts.next()? {
        "crate" => base.clear(),
        "self" => {}
        "super" => {
            base.pop()?;
            while parts.next_if_eq(&"super").is_some() {
                base.pop()?;
            }
        }
        // A path can start with a child of this module.
        child if sources.contains_key(&[&base[..], &[child]].concat().join("::")) => base.push(child),
        _ => return None,
    }
    base.extend(parts);
    Some(base.join("::"))
}

/// The module that an absolute path leads to: the longest prefix that is one. The root stands for all that it exports.
fn module_of(path: &str, sources: &BTreeMap<String, String>) -> String {
    let mut path = path;
    loop {
        if sources.contains_key(path) {
            return path.to_owned();
        }
        match path.rsplit_once("::") {
            Some((parent, _)) => path = parent,
            None => return "crate".to_owned(),
        }
    }
}

fn imports_of(sources: &BTreeMap<String, String>) -> Imports {
    sources
        .keys()
        .map(|module| {
            let named = paths_of(module, sources).into_iter().map(|path| module_of(&path, sources));
            (module.clone(), named.filter(|other| other != module).collect())
        })
        .collect()
}

fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| module == *layer || module.starts_with(&format!("{layer}::")))
}

/// The faults of these imports, in words.
fn violations(imports: &Imports) -> Vec<String> {
    let mut found = Vec::new();
    for (module, others) in imports.iter().filter(|(module, _)| *module != "crate") {
        let Some(own) = layer_of(module) else {
            found.push(format!("{module} belongs to no layer"));
            continue;
        };
        for other in others {
            match layer_of(other) {
                Some(layer) if layer < own && CLOSED.contains(&LAYERS[own]) => {
                    found.push(format!("{module} imports {other}, but {} imports nothing", LAYERS[own]));
                }
                Some(layer) if layer <= own => {}
                _ => found.push(format!("{module} imports {other}, which is above it")),
            }
        }
    }
    for layer in ACYCLIC {
        let inside = |module: &str| layer_of(module).is_some_and(|index| LAYERS[index] == layer);
        let mut left: BTreeMap<&str, BTreeSet<&str>> = imports
            .iter()
            .filter(|(module, _)| inside(module))
            .map(|(module, others)| (&**module, others.iter().map(|o| &**o).filter(|o| inside(o)).collect()))
            .collect();
        // Remove modules without imports until none is left, or only a cycle and what depends on it.
        while let Some(free) = left.iter().find(|(_, others)| others.is_empty()).map(|(module, _)| *module) {
            left.remove(free);
            left.values_mut().for_each(|others| _ = others.remove(free));
        }
        if !left.is_empty() {
            found.push(format!("import cycle among {:?}", left.keys().collect::<Vec<_>>()));
        }
    }
    found
}

fn sources() -> BTreeMap<String, String> {
    sources_of("src")
}

/// The sources of a folder, which is named from that of this crate.
fn sources_of(folder: &str) -> BTreeMap<String, String> {
    let mut sources = BTreeMap::new();
    read_sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), "", &mut sources);
    sources
}

/// The modules that contain unsafe code, or permit it.
fn unsafe_modules(sources: &BTreeMap<String, String>) -> Vec<&str> {
    let is_unsafe = |source: &str| {
        let code = code_of(source);
        let mut words = code.split(|c: char| !(c.is_alphanumeric() || c == '_'));
        words.any(|word| word == "unsafe") || code.contains("allow(unsafe_code)")
    };
    sources.iter().filter(|(_, source)| is_unsafe(source)).map(|(module, _)| &**module).collect()
}

/// The sources with one more line at the start of a module.
fn with_line(module: &str, line: &str) -> Vec<String> {
    let mut sources = sources();
    let source = sources.get_mut(module).unwrap_or_else(|| panic!("no module {module}"));
    source.insert_str(0, &format!("{line}\n"));
    violations(&imports_of(&sources))
}

#[test]
fn sources_of_the_crate_respect_the_layers() {
    let imports = imports_of(&sources());
    assert_eq!(violations(&imports), [] as [&str; 0]);
    // The walk sees real imports, through `crate`, `super` and nested braces.
    assert!(imports["net::receiver"].contains("net::control"), "{:?}", imports["net::receiver"]);
    assert!(imports["net::ring::worker"].contains("net::receiver"));
    assert!(imports["net::storage"].contains("sys"));
    assert!(imports["error"].contains("errno"));
}

#[test]
fn unsafe_code_is_in_sys_and_in_two_modules_of_the_bindings() {
    let sources = sources();
    let found = unsafe_modules(&sources);
    let (below, outside): (Vec<&str>, Vec<&str>) = found.into_iter().partition(|module| module.starts_with("sys::"));
    // The root permits it for `sys`.
    assert_eq!(outside, ["crate"]);
    assert!(below.contains(&"sys::unix::wait"), "{below:?}");
    assert_eq!(unsafe_modules(&sources_of("../py/src")), UNSAFE_BINDINGS);
}

#[test]
fn upward_imports_are_found() {
    for (module, line) in [
        ("pure::filter", "use crate::error::Error;"),
        ("pure::filter", "use crate::errno;"),
        ("pure::pace", "use crate::{Error, Result};"),
        ("error", "use crate::sys::Monitor;"),
        ("sys", "use crate::net::Receiver;"),
        ("sys::unix::wait", "use crate::net::Wake;"),
        ("net::config", "use crate::Error;"),
        ("pure::cmsg", "fn f() { crate::sys::generation(); }"),
        ("pure::cmsg", "mod inner { use super::super::super::error::Error; }"),
    ] {
        assert!(!with_line(module, line).is_empty(), "{module}: {line}");
    }
}

#[test]
fn import_cycles_are_found() {
    for (module, line) in [
        ("net::config", "use super::receiver::Receiver;"),
        ("net::socket", "use super::{stats, socket_set::SocketSet};"),
        ("net::batch", "use crate::net::DatagramRef;"),
        ("net::ring::queue", "use super::{super::{ring::worker::RingShared}};"),
        ("pure::bytes", "use super::cmsg::Layout;"),
    ] {
        let found = with_line(module, line);
        assert!(found.iter().any(|text| text.starts_with("import cycle")), "{module}: {line} {found:?}");
    }
}

#[test]
fn comments_and_strings_are_not_imports() {
    for line in ["// use crate::net::Receiver;", "const A: &str = \"use crate::net::Receiver;\";"] {
        assert!(with_line("pure::filter", line).is_empty(), "{line}");
    }
}
