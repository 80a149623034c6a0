//! `componentize CORE.wasm COMPONENT.wasm`: makes the core module that rustc built into a component.
//!
//! wit-bindgen has left the module's types in a custom section; this reads them from there. A module built for
//! wasm32-wasip1 also gets the adapter that turns its preview 1 imports into `wasi:*@0.2`.

use std::{env, error::Error, fs, process::ExitCode};

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wasm_metadata::AddMetadata;
use wit_component::ComponentEncoder;

fn componentize(core: &str, component: &str) -> Result<(), Box<dyn Error>> {
    let encoded = ComponentEncoder::default()
        .module(&fs::read(core)?)?
        .adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER)?
        .validate(true)
        .encode()?;
    // rustc names its language only in modules with debug information.
    let mut metadata = AddMetadata::default();
    metadata.language = vec![("Rust".into(), String::new())];
    Ok(fs::write(component, metadata.to_wasm(&encoded)?)?)
}

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let [core, component] = args.as_slice() else {
        eprintln!("usage: componentize CORE.wasm COMPONENT.wasm");
        return ExitCode::from(2);
    };
    match componentize(core, component) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The alternate form has the whole chain of causes.
            eprintln!("componentize: {core}: {error:#}");
            ExitCode::FAILURE
        }
    }
}
