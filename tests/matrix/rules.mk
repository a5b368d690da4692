# make matrix: the tests in other Debians (tests/matrix/run -h)
.PHONY: matrix matrix-ft
matrix:			## the tests with other Debians' interpreters, in roots that debootstrap makes
	$(Q)MAKEFLAGS= tests/matrix/run
matrix-ft:		## the tests that hold without a GIL, with a free-threaded CPython built from Debian's source
	$(Q)MAKEFLAGS= tests/matrix/run --free-threaded
