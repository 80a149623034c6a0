//! A plugin in the resource form: `r>abc` answers with `abc` and `ABC`, each an object that is asked for its fields.

wit_bindgen::generate!({ world: "plugin", path: "../../../../wit/resource" });

use exports::swift::launcher::runner::{ActionItem, Guest, GuestActionItem};

const TRIGGER: &str = "r>";

struct ResourceEcho;

struct Item {
    name: String,
}

impl Guest for ResourceEcho {
    type ActionItem = Item;

    fn get_trigger() -> String {
        TRIGGER.into()
    }

    fn handle(input: String) -> Vec<ActionItem> {
        let typed = input.strip_prefix(TRIGGER).unwrap_or(&input);
        [typed.to_string(), typed.to_uppercase()].map(|name| ActionItem::new(Item { name })).into()
    }
}

impl GuestActionItem for Item {
    fn get_name(&self) -> String {
        self.name.clone()
    }

    fn get_exec(&self) -> String {
        ["echo '", &self.name.replace('\'', r"'\''"), "'"].concat()
    }

    fn get_keywords(&self) -> String {
        TRIGGER.into()
    }
}

export!(ResourceEcho);
