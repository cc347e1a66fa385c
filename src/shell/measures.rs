//! Writes points to a dataset of Analytics Engine, where the deployment has one bound as `METRICS`.

use js_sys::{Array, Object, Promise, Reflect};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use worker::{Env, console_error};

use super::platform::{describe, object};
use crate::stats::points::Point;

#[wasm_bindgen]
extern "C" {
    type Dataset;

    #[wasm_bindgen(method, catch, js_name = writeDataPoint)]
    fn write(this: &Dataset, point: &Object) -> Result<JsValue, JsValue>;
}

pub fn is_bound(env: &Env) -> bool {
    dataset(env).is_some()
}

fn dataset(env: &Env) -> Option<Dataset> {
    let dataset = Reflect::get(env, &"METRICS".into()).ok().filter(|dataset| !dataset.is_undefined())?;
    Some(dataset.unchecked_into())
}

/// Nothing waits for it. One that fails is in the log, and missing.
pub fn write(env: &Env, points: &[Point]) {
    let Some(dataset) = dataset(env) else { return };
    let written: Vec<_> = points.iter().map(|point| dataset.write(&shown(point))).collect();
    spawn_local(async move {
        for written in written {
            let done = match written {
                Ok(answer) => JsFuture::from(Promise::resolve(&answer)).await,
                Err(error) => Err(error),
            };
            if let Err(error) = done {
                console_error!("metrics could not be written: {}", describe(&error));
            }
        }
    });
}

fn shown(Point { index, texts, numbers }: &Point) -> Object {
    let texts: Array = texts.iter().map(|text| JsValue::from_str(text)).collect();
    let numbers: Array = numbers.iter().map(|number| JsValue::from_f64(*number as f64)).collect();
    object([
        ("indexes", Array::of1(&index.as_str().into()).into()),
        ("blobs", texts.into()),
        ("doubles", numbers.into()),
    ])
}
