# make nest: the long form of the nesting suite, on every interpreter (NEST='--tag 3.8', see tests/nesting/run -h)
# pybind11 itself is in the other programs: it is what oldB imitates.
nest_pybind := oldP,relP,disP,movedP,keepP
.PHONY: nest
nest: $(library)	## the nesting suite in full: all chains to depth 3, random trees to depth 8; takes long
	+$(Q)$(MAKE) -f tests/fixtures/Makefile
	$(Q)tests/nesting/run --bare-sample 500 --all --depth 3 --without $(nest_pybind) $(NEST)
	$(Q)tests/nesting/run --bare-sample 500 --random 5000 --size 14 $(NEST)
	$(Q)tests/nesting/run --bare-sample 100 --gils --random 3000 --size 14 $(NEST)
	$(Q)tests/nesting/run --shim --all --depth 2 --random 2000 --one-object $(NEST)
	$(Q)tests/nesting/run --shim --all --depth 2 --random 1000 --env PYTHONMALLOC=debug --env PYTHONDEVMODE=1 $(NEST)
