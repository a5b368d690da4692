# What the shim costs. Included by the Makefile.
bench: $(library)	## what the shim costs (BENCH='-p 3.12', see tests/bench/run -h)
	$(Q)CC='$(CC)' python3 tests/bench/run $(BENCH) $(library)
