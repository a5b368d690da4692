%module(directors="1", threads="1") swig_calls
%feature("director") Callback;
%inline %{
struct Callback {
    virtual ~Callback() {}
    virtual void run() {}
};
static void call_often(Callback *callback, int count) {
    for (int i = 0; i < count; i++)
        callback->run();
}
%}
