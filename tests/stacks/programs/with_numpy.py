"""NumPy in a pool of threads: ufuncs, sorting and products that let the GIL go, and a call-back into Python for each element."""
import concurrent.futures

import numpy

from result import done


def work(seed):
    numbers = numpy.random.default_rng(seed)
    a = numbers.integers(0, 1000, (90, 90))
    total = 0
    for _ in range(12):
        a = (a @ a.T) % 1009
        total += int(numpy.sort(a, axis=None)[::97].sum())
        total += int(numpy.sqrt(a.astype(float)).astype(int).sum())
    back = numpy.frompyfunc(lambda x: x * 2 + 1, 1, 1)
    return total + int(back(a).sum())


with concurrent.futures.ThreadPoolExecutor(8) as pool:
    done(list(pool.map(work, range(24))))
