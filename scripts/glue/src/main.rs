//! `courtside-glue WASM DIR`: writes the worker and the JavaScript around it, `index_bg.wasm` and `index.js`, into a
//! directory. This is what wasm-bindgen's own command does, without the half of it that tests need in browsers, which
//! takes longer to compile than the rest.

use std::env;
use std::error::Error;

use wasm_bindgen_cli_support::Bindgen;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [wasm, directory] = args.as_slice() else { return Err("usage: courtside-glue WASM DIR".into()) };
    let mut bindgen = Bindgen::new();
    bindgen.input_path(wasm).out_name("index").module(true)?.typescript(false);
    // With both a panic ends an instance, and src/shell/entry.js makes another.
    bindgen.reset_state_function(true).force_enable_abort_handler(true);
    Ok(bindgen.generate(directory)?)
}
