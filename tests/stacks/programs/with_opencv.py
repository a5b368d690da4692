"""OpenCV's own worker threads, called from a pool of Python's."""
import concurrent.futures
import zlib

import cv2
import numpy

from result import done

cv2.setNumThreads(4)


def work(seed):
    image = numpy.random.default_rng(seed).integers(0, 255, (480, 640, 3), numpy.uint8)
    for _ in range(6):
        image = cv2.GaussianBlur(image, (7, 7), 0)
        image = cv2.medianBlur(image, 5)
        image = cv2.equalizeHist(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY))
        image = cv2.cvtColor(cv2.resize(image, (640, 480)), cv2.COLOR_GRAY2BGR)
    kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (5, 5))
    return zlib.crc32(cv2.dilate(image, kernel).tobytes())


with concurrent.futures.ThreadPoolExecutor(8) as pool:
    done(list(pool.map(work, range(16))))
