# nix-build shim/dist, in a checkout or in the unpacked tarball of `make dist`.
{ pkgs ? import <nixpkgs> { } }:

pkgs.stdenv.mkDerivation {
  pname = "gilshim";
  version = builtins.head (builtins.match ".*#define GILSHIM_VERSION \"([0-9.]+)\".*" (builtins.readFile ../version.h));
  src = pkgs.lib.cleanSource ../..;

  makeFlags = [ "PREFIX=${placeholder "out"}" ];
  # The order of the functions in the library is chosen, and it is linked to no module.
  enableParallelBuilding = true;
  doInstallCheck = true;
  installCheckPhase = ''
    test "$($out/bin/run-with-shim.sh printenv LD_PRELOAD)" = $out/lib/libgilshim.so
  '';

  meta = {
    description = "Repairs and explains conflicts over CPython's GIL at run time";
    license = pkgs.lib.licenses.mit;
    platforms = [ "x86_64-linux" "aarch64-linux" ];
    mainProgram = "run-with-shim.sh";
  };
}
