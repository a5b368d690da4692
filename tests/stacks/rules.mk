# Programs as people run them, from Debian's packages. Included by the Makefile.
.PHONY: stacks
stacks: $(library)
	+$(Q)MAKE='$(MAKE)' tests/run -v $(STACKS) tests/stacks/*.bats
