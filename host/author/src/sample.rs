//! What a new project's code does: it calls each function of its capabilities, and its test has an estate for that.

use serde::Serialize;
use toml::{Table, Value};

use crate::model::{self, EFFECTS, Field, Kind, Package, Param, Ty};
use crate::{AuthorError, world};

/// Code to begin with, for any language.
#[derive(Serialize)]
pub(crate) struct Sample {
    /// The packages that are called.
    packages: Vec<String>,
    /// What the action is given: each parameter of a call once, by its name.
    inputs: Vec<Input>,
    /// The calls that `run` makes, in order.
    calls: Vec<Call>,
    /// Functions that take or answer more than the templates have code for.
    others: Vec<String>,
    /// What the changes answer, each name once: numbers that `verify` compares with what it sees.
    outputs: Vec<Output>,
    /// Whether `verify` calls anything, and so needs the input.
    looks: bool,
    /// Whether `verify` compares anything, and so needs the output.
    compares: bool,
    /// The tables of the test, as TOML: what there is.
    estate: String,
}

#[derive(Serialize)]
struct Input {
    name: String,
    /// Text that may be missing; otherwise it is text, or a number.
    optional: bool,
    /// The number's type in the WIT: `u64`. Empty for text.
    number: String,
    /// Whether it is the handle of a sealed input; the example is its value.
    sealed: bool,
    /// An example value, valid in both TOML and JSON.
    example: String,
    /// What it is, and which functions take it, for a person.
    description: String,
}

impl Input {
    /// Whether a parameter of this type can be taken from it.
    fn is(&self, ty: &Ty) -> bool {
        match ty {
            Ty::Int(number) => self.number == *number,
            _ => self.number.is_empty(),
        }
    }
}

#[derive(Serialize)]
struct Output {
    name: String,
    number: String,
    /// The variable with the answer that has it.
    answer: String,
}

#[derive(Clone, PartialEq, Serialize)]
struct Number {
    name: String,
    /// The type in the WIT: `u64`.
    number: String,
}

#[derive(Serialize)]
struct Call {
    package: String,
    function: String,
    effect: &'static str,
    arguments: Vec<Argument>,
    /// The variable for the answer. Empty without.
    answer: String,
    /// The answer's type, if it is a record; else empty.
    record: String,
    /// Its numbers, which go into the log; none where the answer is disclosed.
    numbers: Vec<Number>,
    /// The numbers that `verify` compares with the output.
    compared: Vec<Number>,
}

#[derive(Serialize)]
struct Argument {
    /// The name of the input that is passed.
    name: String,
    /// What the function takes: `text`, `number`, `optional` for an option of an input that may be missing, `some` for an
    /// option of one that may not.
    takes: &'static str,
}

impl Sample {
    /// For the functions of these interfaces.
    pub(crate) fn new<'a>(imports: impl Iterator<Item = &'a str>) -> Result<Self, AuthorError> {
        let imports: Vec<&str> = imports.collect();
        let wrong = |why| AuthorError::Wit { dir: "the host's WIT".to_owned(), why };
        let packages = model::packages(&world::host()).map_err(wrong)?;
        let mut sample = Self {
            packages: Vec::new(),
            inputs: Vec::new(),
            calls: Vec::new(),
            others: Vec::new(),
            outputs: Vec::new(),
            looks: false,
            compares: false,
            estate: String::new(),
        };
        let mut estate = Table::new();
        for package in &packages {
            let mut example = example(&package.name).map_err(wrong)?;
            let mut table = |name| match example.remove(name) {
                Some(Value::Table(values)) => values,
                _ => Table::new(),
            };
            let values = (table("input"), table("sealed"));
            let wanted = |interface: &&model::Interface| imports.contains(&interface.import.as_str());
            for interface in package.interfaces.iter().filter(wanted) {
                sample.interface(package, interface, &values);
                estate.extend(example.clone());
            }
        }
        if sample.inputs.is_empty() {
            sample.inputs.push(Input {
                name: "name".to_owned(),
                optional: false,
                number: String::new(),
                sealed: false,
                example: "\"example\"".to_owned(),
                description: "What to repair".to_owned(),
            });
        }
        sample.inputs.sort_by_key(|input| input.optional);
        sample.calls.sort_by_key(|call| EFFECTS.iter().position(|effect| *effect == call.effect));
        sample.settle();
        sample.estate = toml::to_string(&estate).map_err(|error| wrong(error.to_string()))?;
        Ok(sample)
    }

    /// Settles what depends on all calls. Whatever a change answered, `verify` compares with what it sees under the same name.
    fn settle(&mut self) {
        for call in self.calls.iter().filter(|call| call.effect != EFFECTS[0]) {
            for Number { name, number } in call.numbers.iter().cloned() {
                if !self.outputs.iter().any(|output| output.name == name) {
                    self.outputs.push(Output { name, number, answer: call.answer.clone() });
                }
            }
        }
        for argument in self.calls.iter_mut().flat_map(|call| &mut call.arguments) {
            let required = self.inputs.iter().any(|input| input.name == argument.name && !input.optional);
            if argument.takes == "optional" && required {
                argument.takes = "some";
            }
        }
        let same = |number: &&Number| {
            self.outputs.iter().any(|output| output.name == number.name && output.number == number.number)
        };
        for call in self.calls.iter_mut().filter(|call| call.effect == EFFECTS[0]) {
            call.compared = call.numbers.iter().filter(same).cloned().collect();
            self.looks = true;
            self.compares |= !call.compared.is_empty();
        }
    }

    fn interface(&mut self, package: &Package, interface: &model::Interface, values: &(Table, Table)) {
        for function in &interface.functions {
            let name = format!("{}.{}", package.name, function.name);
            let takes_inputs = |param: &Param| {
                let input = self.inputs.iter().find(|input| input.name == param.name);
                is_plain(&param.ty) && input.is_none_or(|input| input.is(&param.ty))
            };
            let answers = matches!(function.ok, None | Some(Ty::Text | Ty::Record(_)));
            if !(answers && function.params.iter().all(takes_inputs)) {
                self.others.push(name);
                continue;
            }
            if !self.packages.contains(&package.name) {
                self.packages.push(package.name.clone());
            }
            for param in &function.params {
                self.input(param, &interface.import, values);
            }
            let (record, numbers) = match &function.ok {
                Some(Ty::Record(of)) if function.effect == EFFECTS[1] => (of.name.clone(), Vec::new()),
                Some(Ty::Record(of)) => (of.name.clone(), numbers(package, &of.name)),
                _ => (String::new(), Vec::new()),
            };
            let answer = match &function.ok {
                None => String::new(),
                Some(Ty::Record(_)) if !self.calls.iter().any(|call| call.record == record) => record.clone(),
                Some(_) => format!("{}-answer", function.name),
            };
            self.calls.push(Call {
                package: package.name.clone(),
                function: function.name.clone(),
                effect: function.effect,
                arguments: function.params.iter().map(argument).collect(),
                answer,
                record,
                numbers,
                compared: Vec::new(),
            });
        }
    }

    fn input(&mut self, param: &Param, import: &str, (values, sealed): &(Table, Table)) {
        let by = world::without_version(import);
        if let Some(input) = self.inputs.iter_mut().find(|input| input.name == param.name) {
            input.optional &= matches!(param.ty, Ty::Option(_));
            input.description = format!("{}, {by}", input.description);
            return;
        }
        let number = if let Ty::Int(number) = param.ty { number } else { "" };
        let otherwise = if number.is_empty() { "\"example\"" } else { "1" };
        self.inputs.push(Input {
            name: param.name.clone(),
            optional: matches!(param.ty, Ty::Option(_)),
            number: number.to_owned(),
            sealed: sealed.contains_key(&param.name),
            example: values
                .get(&param.name)
                .or_else(|| sealed.get(&param.name))
                .map_or(otherwise.to_owned(), ToString::to_string),
            description: format!("The {} for {by}", param.name.replace('-', " ")),
        });
    }
}

fn argument(param: &Param) -> Argument {
    let takes = match param.ty {
        Ty::Option(_) => "optional",
        Ty::Int(_) => "number",
        _ => "text",
    };
    Argument { name: param.name.clone(), takes }
}

/// What every template makes from JSON.
fn is_plain(ty: &Ty) -> bool {
    match ty {
        Ty::Option(inner) => **inner == Ty::Text,
        Ty::Int(name) => name.starts_with('u'),
        other => *other == Ty::Text,
    }
}

fn numbers(package: &Package, record: &str) -> Vec<Number> {
    let types = package.interfaces.iter().flat_map(|interface| &interface.types);
    let fields = types.filter(|ty| ty.name == record).filter_map(|ty| match &ty.kind {
        Kind::Record(fields) => Some(fields),
        Kind::Enum(_) => None,
    });
    let number = |field: &Field| match field.ty {
        Some(Ty::Int(number)) if number.starts_with('u') => {
            Some(Number { name: field.name.clone(), number: number.to_owned() })
        }
        _ => None,
    };
    fields.flatten().filter_map(number).collect()
}

/// `example.toml` beside the WIT of a package: values for parameters by name, and an estate to call it on.
fn example(package: &str) -> Result<Table, String> {
    let file = world::WIT.get_file(format!("{package}/example.toml"));
    file.and_then(include_dir::File::contents_utf8)
        .unwrap_or_default()
        .parse()
        .map_err(|error| format!("{error}"))
}
