//! The product's files: read, parsed, and cut free of their tests.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use proc_macro2::{Span, TokenStream};
use syn::spanned::Spanned as _;
use syn::visit::Visit;
use syn::{Attribute, ImplItem, Item, TraitItem};

/// What is wrong, and where: `FILE:LINE: what is wrong`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    pub(crate) file: String,
    pub(crate) line: usize,
    pub(crate) rule: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.rule)
    }
}

/// One file of product code.
pub(crate) struct Source {
    pub(crate) text: String,
    pub(crate) tokens: TokenStream,
    pub(crate) parsed: syn::File,
    /// First and last line of each piece that is there for tests only.
    tests: Vec<(usize, usize)>,
}

impl Source {
    fn new(path: &str, text: String) -> Self {
        let tokens: TokenStream = text.parse().unwrap_or_else(|error| panic!("{path}: {error}"));
        let parsed: syn::File = syn::parse2(tokens.clone()).unwrap_or_else(|error| panic!("{path}: {error}"));
        let mut pieces = TestPieces::default();
        pieces.visit_file(&parsed);
        Self { text, tokens, parsed, tests: pieces.0 }
    }

    /// Says whether the line is one of a test.
    pub(crate) fn in_test(&self, line: usize) -> bool {
        self.tests.iter().any(|(first, last)| (*first..=*last).contains(&line))
    }
}

/// The files of product code by their path in the repository.
pub(crate) type Tree = BTreeMap<String, Source>;

/// Parses the files that are product code, as their paths say.
pub(crate) fn tree(files: impl IntoIterator<Item = (String, String)>) -> Tree {
    let product = files.into_iter().filter(|(path, _)| !is_test_path(path));
    product.map(|(path, text)| (path.clone(), Source::new(&path, text))).collect()
}

/// Reads `pm-*/src` of the repository.
pub(crate) fn read(repository: &Path) -> Vec<(String, String)> {
    let mut files = Vec::new();
    for package in fs::read_dir(repository).expect("the repository").flatten() {
        let name = package.file_name().into_string().expect("a name in UTF-8");
        if name.starts_with("pm-") {
            read_below(&package.path().join("src"), &format!("{name}/src"), &mut files);
        }
    }
    files
}

fn read_below(dir: &Path, path: &str, files: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(dir).expect("a directory of the product").flatten() {
        let name = entry.file_name().into_string().expect("a name in UTF-8");
        let path = format!("{path}/{name}");
        if entry.path().is_dir() {
            read_below(&entry.path(), &path, files);
        } else if name.ends_with(".rs") {
            files.push((path, fs::read_to_string(entry.path()).expect("a file of the product")));
        }
    }
}

/// Says whether a file is one of tests: `tests.rs`, `*_tests.rs`, and what is in a folder `tests`.
pub(crate) fn is_test_path(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.ends_with("_tests.rs") || path.contains("/tests/")
}

/// Says whether something is there for tests only.
pub(crate) fn for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Path>().is_ok_and(|condition| condition.is_ident("test"))
    })
}

/// The first and the last line of a piece of code.
pub(crate) fn lines_of(span: Span) -> (usize, usize) {
    (span.start().line, span.end().line)
}

/// The attributes of an item.
pub(crate) fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(it) => &it.attrs,
        Item::Enum(it) => &it.attrs,
        Item::ExternCrate(it) => &it.attrs,
        Item::Fn(it) => &it.attrs,
        Item::ForeignMod(it) => &it.attrs,
        Item::Impl(it) => &it.attrs,
        Item::Macro(it) => &it.attrs,
        Item::Mod(it) => &it.attrs,
        Item::Static(it) => &it.attrs,
        Item::Struct(it) => &it.attrs,
        Item::Trait(it) => &it.attrs,
        Item::TraitAlias(it) => &it.attrs,
        Item::Type(it) => &it.attrs,
        Item::Union(it) => &it.attrs,
        Item::Use(it) => &it.attrs,
        _ => &[],
    }
}

#[derive(Default)]
struct TestPieces(Vec<(usize, usize)>);

impl<'a> Visit<'a> for TestPieces {
    fn visit_item(&mut self, item: &'a Item) {
        if for_tests(attributes(item)) {
            self.0.push(lines_of(item.span()));
        } else {
            syn::visit::visit_item(self, item);
        }
    }

    fn visit_impl_item(&mut self, item: &'a ImplItem) {
        match item {
            ImplItem::Fn(it) if for_tests(&it.attrs) => self.0.push(lines_of(item.span())),
            ImplItem::Const(it) if for_tests(&it.attrs) => self.0.push(lines_of(item.span())),
            _ => syn::visit::visit_impl_item(self, item),
        }
    }

    fn visit_trait_item(&mut self, item: &'a TraitItem) {
        match item {
            TraitItem::Fn(it) if for_tests(&it.attrs) => self.0.push(lines_of(item.span())),
            _ => syn::visit::visit_trait_item(self, item),
        }
    }
}
