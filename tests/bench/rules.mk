# What the shim costs. Included by the Makefile. BENCH='-p 3.12' and the like are for the program, see its -h.
.PHONY: bench-instructions bench-callbacks bench-check bench-programs bench-locks
bench: $(library)	## what the shim costs: pairs of calls, in time
	$(Q)CC='$(CC)' tests/bench/run $(BENCH) $(library)
bench-instructions: $(library)	## the same in instructions, which no busy machine changes
	$(Q)CC='$(CC)' tests/bench/instructions $(BENCH) $(library)
bench-callbacks: $(library)	## call-backs of ctypes, cffi, sqlite3, pybind11, Boost.Python, Cython, SWIG, PyO3
	$(Q)CC='$(CC)' CXX='$(CXX)' tests/bench/callbacks $(BENCH) $(library)
bench-check: $(library)	## what check=calls adds to a call, and to programs that make many
	$(Q)CC='$(CC)' tests/bench/check $(BENCH) $(library)
bench-programs: $(library)	## whole programs, many threads, many states (BENCH='--plot cost.svg')
	$(Q)CC='$(CC)' tests/bench/programs $(BENCH) $(library)
bench-locks: $(library)	## a pair of lock and unlock, bare and with check=locks
	$(Q)CC='$(CC)' tests/bench/locks $(BENCH) $(library)
