// pybind11's own: gil_scoped_release, and gil_scoped_acquire for each call.
#include <pybind11/pybind11.h>
namespace py = pybind11;

PYBIND11_MODULE(NAME, module) {
    module.def("call", [](py::object function, int count) {
        py::gil_scoped_release released;
        for (int i = 0; i < count; i++) {
            py::gil_scoped_acquire acquired;
            function();
        }
    });
}
