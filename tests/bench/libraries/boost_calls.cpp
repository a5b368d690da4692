// Boost.Python has nothing for the GIL: its users call the API by hand.
#include <boost/python.hpp>
namespace python = boost::python;

static void call(python::object function, int count) {
    PyThreadState *state = PyEval_SaveThread();
    for (int i = 0; i < count; i++) {
        PyGILState_STATE gil = PyGILState_Ensure();
        function();
        PyGILState_Release(gil);
    }
    PyEval_RestoreThread(state);
}

BOOST_PYTHON_MODULE(boost_calls) {
    python::def("call", call);
}
