# make matrix: the tests in other Debians (tests/matrix/run -h)
.PHONY: matrix matrix-ft matrix-arm64
matrix:			## the tests with other Debians' interpreters, in roots that debootstrap makes
	$(Q)MAKEFLAGS= tests/matrix/run
matrix-ft:		## the tests that hold without a GIL, with free-threaded CPythons built from Debian's source
	$(Q)MAKEFLAGS= tests/matrix/run --free-threaded
matrix-arm64:		## binding, shapes and repairs on AArch64, played by qemu (needs qemu-user-static); MATRIX_FORM=full: all
	$(Q)MAKEFLAGS= MATRIX=arm64 MATRIX_PYTHONS="$${MATRIX_PYTHONS:-deb3.11}" tests/matrix/run
