def call(function, int count):
    cdef int i
    with nogil:
        for i in range(count):
            with gil:
                function()
