//! The import graph of each room has no cycle.
//!
//! A room is a directory of `src/`, or `src/` itself. Its modules are the files and directories in it; `x.rs` and `x/`
//! are one module. The file of the room itself (`mod.rs`, `lib.rs`, or `room.rs` beside `room/`) is not a module of the
//! room: it declares its children, and they may use its items. An imported name that a module only re-exports counts as
//! an import of the module that declares it.

use super::exceptions::{self, Found};
use super::layers;
use super::modules::{Import, imports};
use std::collections::{BTreeMap, BTreeSet};

type Edges = BTreeMap<&'static str, BTreeMap<&'static str, BTreeSet<String>>>;

/// Returns the imports between the modules of each room, with their locations.
fn rooms(imports: &[Import]) -> BTreeMap<String, Edges> {
    let mut rooms: BTreeMap<String, Edges> = BTreeMap::new();
    for Import { from, to, location } in imports {
        let shared = from.iter().zip(to).take_while(|(from, to)| from == to).count();
        if let (Some(from_child), Some(to_child)) = (from.get(shared), to.get(shared)) {
            let room = [&["src"][..], &from[..shared]].concat().join("/");
            let edges = rooms.entry(room).or_default().entry(from_child).or_default();
            edges.entry(to_child).or_default().insert(location.clone());
        }
    }
    rooms
}

fn reached(edges: &Edges, start: &'static str) -> BTreeSet<&'static str> {
    let mut reached = BTreeSet::new();
    let mut next = vec![start];
    while let Some(module) = next.pop() {
        let targets = edges.get(module).into_iter().flat_map(BTreeMap::keys).copied();
        next.extend(targets.filter(|target| reached.insert(*target)));
    }
    reached
}

/// Returns the largest sets of modules that all reach each other (strongly connected components).
fn cycles(edges: &Edges) -> BTreeSet<BTreeSet<&'static str>> {
    let reached: BTreeMap<_, _> = edges.keys().map(|module| (*module, reached(edges, module))).collect();
    let cycle = |(module, targets): (&&'static str, &BTreeSet<&'static str>)| {
        let back = |target: &&&'static str| reached.get(**target).is_some_and(|targets| targets.contains(module));
        let cycle: BTreeSet<_> = targets.iter().filter(back).copied().collect();
        (cycle.len() > 1).then_some(cycle)
    };
    reached.iter().filter_map(cycle).collect()
}

/// Describes the imports in a cycle: a line per pair of modules, with the first locations.
fn show(room: &str, edges: &Edges, cycle: &BTreeSet<&'static str>) -> String {
    let mut lines = format!("{room}: {} modules import each other: {}", cycle.len(), join(cycle, ", "));
    for from in cycle {
        for (to, locations) in edges[from].iter().filter(|(to, _)| cycle.contains(*to)) {
            lines += &format!("\n      {from} -> {to}: {}", join(locations.iter().take(3), " "));
        }
    }
    lines
}

fn join(words: impl IntoIterator<Item = impl ToString>, separator: &str) -> String {
    words.into_iter().map(|word| word.to_string()).collect::<Vec<_>>().join(separator)
}

#[test]
fn no_room_has_an_import_cycle() {
    let mut found = Found::new();
    for (room, edges) in rooms(imports()) {
        for cycle in cycles(&edges) {
            // Each module in a cycle is an exception. The first one has the description of the cycle.
            let mut locations = vec![show(&room, &edges, &cycle)];
            locations.extend(cycle.iter().skip(1).map(|module| format!("  and {module}")));
            found.entry(room.clone()).or_default().extend(locations);
        }
    }
    exceptions::check("inside a room imports run one way (counted: modules in cycles)", "cycles.txt", &found);
}

/// Run it with `--nocapture` to see the graph.
#[test]
fn the_graph_can_be_printed() {
    let rooms = rooms(imports());
    let mut count = 0;
    for (room, edges) in &rooms {
        for cycle in cycles(edges) {
            count += 1;
            println!("{}", show(room, edges, &cycle));
        }
    }
    let upward = layers::broken(imports());
    for (key, locations) in &upward {
        println!("{key}: {}", locations.join(" "));
    }
    println!("{} rooms, cycles inside rooms {count}, imports up a layer {}", rooms.len(), upward.len());
}

#[test]
fn a_cycle_is_found_with_all_its_modules() {
    let import = |from: &'static str, to: &'static str| Import {
        from: vec!["room", from],
        to: vec!["room", to, "inner"],
        location: format!("{from}.rs:1"),
    };
    let chain = [import("a", "b"), import("b", "c"), import("c", "d"), import("e", "a")];
    let cycles_of = |imports: &[Import]| cycles(&rooms(imports)["src/room"]);
    assert_eq!(cycles_of(&chain), BTreeSet::new());
    let closed = [chain.as_slice(), &[import("d", "b")]].concat();
    assert_eq!(cycles_of(&closed), BTreeSet::from([BTreeSet::from(["b", "c", "d"])]));
}
