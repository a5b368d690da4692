# make faults: each call of the shim's own that can fail does, one by one (FAULTS='--tag 3.8', see tests/faults/run -h)
.PHONY: faults
faults: $(library)	## calls of the shim's own fail, one by one: the program ends as it does without it; takes long
	+$(Q)$(MAKE) -f tests/fixtures/Makefile
	$(Q)tests/faults/run --full $(FAULTS)
