//! Settings of a run: dotted keys of the configuration with Python values.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};
use rarefy::config;
use toml::{Table, Value};

/// A layer of the configuration; keys with the value `None` are left out.
pub fn layer(settings: &Bound<'_, PyDict>) -> PyResult<Table> {
    let mut layer = Table::new();
    for (key, value) in settings {
        let key: String = key.extract()?;
        if !value.is_none() {
            config::insert(&mut layer, &key, of(&key, &value)?);
        }
    }
    Ok(layer)
}

fn of(key: &str, value: &Bound<'_, PyAny>) -> PyResult<Value> {
    if value.is_instance_of::<PyBool>() {
        return Ok(Value::Boolean(value.extract()?));
    }
    if value.is_instance_of::<PyInt>() {
        return Ok(Value::Integer(value.extract()?));
    }
    if value.is_instance_of::<PyFloat>() {
        return Ok(Value::Float(value.extract()?));
    }
    if value.is_instance_of::<PyString>() {
        return Ok(Value::String(value.extract()?));
    }
    if value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>() {
        let values = value.try_iter()?.map(|value| of(key, &value?));
        return Ok(Value::Array(values.collect::<PyResult<_>>()?));
    }
    // Numbers of numpy and other libraries.
    if let Ok(whole) = value.call_method0("__index__") {
        return Ok(Value::Integer(whole.extract()?));
    }
    if let Ok(number) = value.extract::<f64>() {
        return Ok(Value::Float(number));
    }
    let kind = value.get_type();
    Err(PyTypeError::new_err(format!(
        "{key}: expected a number, text, bool or list, got {kind}"
    )))
}
