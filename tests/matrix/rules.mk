# make matrix: the tests in other Debians (tests/matrix/run -h)
.PHONY: matrix
matrix:			## the tests with other Debians' interpreters, in roots that debootstrap makes
	$(Q)MAKEFLAGS= tests/matrix/run
