# pybind11's own test suite, with and without the shim. Included by the Makefile.
.PHONY: pybind11-tests
pybind11-tests: $(library)
	$(Q)python3 tests/pybind11/run $(PYBIND11) $(library)
