//! A run that changes something through a connector, killed at each call through which something becomes durable or leaves the
//! process: what the system has is what the run's state says.

use std::sync::Arc;

use super::house::House;
use super::*;

const LAMP: &str = "lamp.wasm";
const SCOPE: &str = "on_failure = \"revert\"\n[[allow]]\ncapability = \"acme:lamps/read\"\nresources = [\"lamp:house/**\"]\n\
                     [[allow]]\ncapability = \"acme:lamps/switch\"\nresources = [\"lamp:house/**\"]\n";

/// How the connector is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum In {
    Rust,
    Toml,
}

/// A home with a connector to a house, and an approved request for a run that switches its lamp on.
fn template(house: &House, written: In) -> World {
    let world = match written {
        In::Rust => World::with(&["lamps"]),
        In::Toml => without_code(),
    };
    let text = include_str!("../domain/action.wat").replace("remit:lamps/", "acme:lamps/");
    let text = text
        .replace("\"hall/door\"", "\"house/hall/door\"")
        .replace("(i32.const 16) (i32.const 9)", "(i32.const 16) (i32.const 15)");
    world.write(LAMP, wat::parse_str(text).unwrap());
    world.remit(&["sign", LAMP, "--key", "publisher.key"]).exits(0);
    for file in ["lamps.wasm", "lamps.wasm.sig"] {
        fs::rename(world.path(file), world.home().join(file)).unwrap();
    }
    let config = world.home().join("remit.toml");
    let entry = format!(
        "\n[[connector]]\nname = \"house\"\ncomponent = \"lamps.wasm\"\norigin = \"{}\"\nallow_private = [\"127.0.0.1/32\"]\n",
        house.address
    );
    let text = fs::read_to_string(&config).unwrap();
    fs::write(config, text + &entry).unwrap();
    world.write("scope.toml", SCOPE);
    let what = ["request", LAMP, "--input", "{}", "--scope", "scope.toml", "--without-plan"];
    world.ask(&[&what[..], &["--ttl", "24h"]].concat(), "g");
    // What every copy would compile.
    world.remit(&["install", LAMP]).exits(0);
    world.remit(&["doctor"]).exits(0);
    world
}

/// A home beside a connector of the same interfaces that has no code.
fn without_code() -> World {
    let world = World::with(&[]);
    fs::create_dir_all(world.path("lamps/wit")).unwrap();
    world.write("lamps/connector.toml", include_str!("../connector/lamps.toml"));
    world.write("lamps/wit/lamps.wit", include_str!("../guests/lamps/wit/lamps.wit"));
    world.remit(&["build", "lamps", "--out", "lamps.wasm"]).exits(0);
    world.remit(&["sign", "lamps.wasm", "--key", "publisher.key"]).exits(0);
    world
}

/// One home and one house at a time; several of them side by side.
fn strike(shim: &Shim, house: &House, template: &World, strike: Option<(&Point, How)>) -> Vec<Point> {
    let world = template.copy();
    house.set(false);
    let log = world.path("points");
    let mut command = world.command(&run_of(template, "g").iter().map(String::as_str).collect::<Vec<_>>());
    match strike {
        None => shim.count(&mut command, &log),
        Some((point, how)) => shim.strike(&mut command, &log, point.number, how),
    }
    let ran = wait(command).ran;
    let points = shim::points(&log);
    let recovered = world.remit(&["recover"]);
    assert!(matches!(recovered.code, 0 | 1), "{strike:?}: {recovered:?}");
    let runs = world.remit(&["runs", "--json"]).exits(0).json();
    let state = runs.as_array().unwrap().last().map(|run| run["state"].as_str().unwrap_or("none").to_owned());
    let lit = state.as_deref() == Some("succeeded");
    assert_eq!(house.is_lit(), lit, "{strike:?}: {state:?} {ran:?}");
    // Nothing is left for a person where nobody interfered.
    let ended = matches!(state.as_deref(), None | Some("succeeded" | "reverted" | "failed"));
    assert!(ended, "{strike:?}: {state:?} {ran:?}");
    world.audit_is_sound();
    points
}

#[test]
fn crash_in_a_run_through_a_connector() {
    sweep("run/connector", In::Rust, &[How::After], |points, at| matters(points, at, How::After));
}

/// The interpreter's part is what it sends: all else is the host's own, as above.
#[test]
fn crash_in_a_run_through_a_connector_without_code() {
    sweep("run/toml", In::Toml, &[How::Before, How::After], |points, at| points[at].class == "send");
}

fn sweep(name: &str, written: In, how: &[How], struck: impl Fn(&[Point], usize) -> bool) {
    let began = Instant::now();
    let shim = Arc::new(Shim::compile());
    let house = House::new();
    let world = template(&house, written);
    let points = strike(&shim, &house, &world, None);
    assert!(house.is_lit());
    assert!(points.iter().any(|point| point.class == "send"), "the shim sees requests: {points:?}");
    let cases = points.iter().enumerate().filter(|(at, _)| struck(&points, *at));
    let cases: Vec<(&Point, How)> =
        cases.flat_map(|(_, point)| how.iter().map(move |how| (point, *how))).collect();
    let (total, queue) = (cases.len(), Mutex::new(cases.into_iter().collect::<VecDeque<_>>()));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            let (shim, queue) = (Arc::clone(&shim), &queue);
            scope.spawn(move || {
                // A house of its own: the request names its address.
                let house = House::new();
                let world = template(&house, written);
                while let Some(case) = { queue.lock().unwrap().pop_front() } {
                    strike(&shim, &house, &world, Some(case));
                }
            });
        }
    });
    println!("{name}: {total} cases, {:.0} s", began.elapsed().as_secs_f64());
}
