// PyO3's own: allow_threads, and with_gil for each call.
use pyo3::prelude::*;

#[pyfunction]
fn call(py: Python<'_>, function: PyObject, count: usize) -> PyResult<()> {
    py.allow_threads(|| {
        for _ in 0..count {
            Python::with_gil(|py| function.call0(py).map(drop))?;
        }
        Ok(())
    })
}

#[pymodule]
fn pyo3_calls(_py: Python<'_>, module: &PyModule) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(call, module)?)
}
