# CPython's own tests, with and without the shim. Included by the Makefile.
.PHONY: noharm
noharm: $(library)
	$(Q)tests/noharm/run $(NOHARM) $(library)
