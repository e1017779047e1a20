// native/cuda/lathe.node: an addon for Node that cuda.mjs compiles and shared/engine/cuda.ts loads.
//
// onnxruntime-node passes no option to the CUDA provider but its device. All its calls go through one table of functions, OrtApi. The addon
// puts a function of its own into the place of the one that adds the provider to a session; it sets the options first. It needs no header:
// new versions of ONNX Runtime only append to the table, and those of Node change none of the functions below.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef void *Env, *Value, *Info;
typedef Value (*Callback)(Env, Info);
int napi_create_function(Env, const char *name, size_t length, Callback, void *data, Value *made);
int napi_create_string_utf8(Env, const char *text, size_t length, Value *made);
int napi_get_cb_info(Env, Info, size_t *count, Value *arguments, Value *self, void **data);
int napi_get_value_string_utf8(Env, Value, char *text, size_t size, size_t *length);
int napi_set_named_property(Env, Value object, const char *name, Value);
int napi_throw_error(Env, const char *code, const char *message);

typedef struct Status Status;
typedef struct Session Session;
typedef struct Allocator {
  uint32_t version;
  void *(*allocate)(struct Allocator *, size_t);
  void (*free)(struct Allocator *, void *);
} Allocator;
typedef struct {
  void **(*table)(uint32_t version);
} Base;
// Positions in the table.
enum { STATUS = 0, ALLOCATOR = 78, APPEND_CUDA = 204, UPDATE_CUDA = 206, CUDA_AS_STRING = 207, DETERMINISTIC = 273 };
typedef Status *(*MakeStatus)(int code, const char *message);
typedef Status *(*GetAllocator)(Allocator **);
typedef Status *(*AppendCuda)(Session *, int *cuda);
typedef Status *(*UpdateCuda)(int *cuda, const char *const *keys, const char *const *values, size_t count);
typedef Status *(*CudaAsString)(const int *cuda, Allocator *, char **text);
typedef Status *(*Deterministic)(Session *, _Bool);
// The first version of the table that has them all.
#define VERSION 18
#define FAIL 1

static void **api;
static AppendCuda append;
// "key=value;key=value", for all sessions from now on.
static char options[1024];
#define MOST (sizeof options / 2)

static size_t split(char *text, const char **keys, const char **values) {
  size_t count = 0;
  char *rest;
  for (char *pair = strtok_r(text, ";", &rest); pair && count < MOST; pair = strtok_r(NULL, ";", &rest)) {
    char *equals = strchr(pair, '=');
    if (equals) *equals = 0;
    keys[count] = pair;
    values[count++] = equals ? equals + 1 : "";
  }
  return count;
}

// Compares the options with those that the provider says it has, in the same form: a wrong position would go unnoticed otherwise.
static Status *check(const int *cuda, size_t count, const char **keys, const char **values) {
  Allocator *allocator;
  char *text, has[8192], wanted[sizeof options + 4], message[sizeof options + 128];
  Status *fault = ((GetAllocator)api[ALLOCATOR])(&allocator);
  if (!fault) fault = ((CudaAsString)api[CUDA_AS_STRING])(cuda, allocator, &text);
  if (fault) return fault;
  snprintf(has, sizeof has, ";%s;", text);
  allocator->free(allocator, text);
  for (size_t at = 0; at < count; at++) {
    snprintf(wanted, sizeof wanted, ";%s=%s;", keys[at], values[at]);
    if (strstr(has, wanted)) continue;
    snprintf(message, sizeof message, "the CUDA provider does not take %s=%s, it has %.200s", keys[at], values[at], has);
    return ((MakeStatus)api[STATUS])(FAIL, message);
  }
  return NULL;
}

static Status *append_with_options(Session *session, int *cuda) {
  const char *keys[MOST], *values[MOST];
  char text[sizeof options];
  size_t count = split(strcpy(text, options), keys, values);
  // An option that is not given gets its default, also the device, which the binding has set. It is the first field.
  int device = *cuda;
  Status *fault = ((UpdateCuda)api[UPDATE_CUDA])(cuda, keys, values, count);
  *cuda = device;
  if (!fault) fault = check(cuda, count, keys, values);
  // Sums otherwise add in the order in which the threads of the GPU arrive.
  if (!fault) fault = ((Deterministic)api[DETERMINISTIC])(session, 1);
  return fault ? fault : append(session, cuda);
}

// Puts append_with_options into the table of the loaded library. Returns a fault, or NULL.
static const char *replace(void) {
  if (api) return NULL;
  void *library = dlopen("libonnxruntime.so.1", RTLD_NOLOAD | RTLD_LAZY);
  Base *(*base)(void) = library ? (Base * (*)(void)) dlsym(library, "OrtGetApiBase") : NULL;
  void **table = base ? base()->table(VERSION) : NULL;
  if (!table) return "libonnxruntime.so.1 is not loaded, or is older than 1.18";
  // The system's loader has made the page of the table read-only.
  size_t size = (size_t)sysconf(_SC_PAGESIZE);
  void *page = (void *)((uintptr_t)(table + APPEND_CUDA) & ~(size - 1));
  if (mprotect(page, size, PROT_READ | PROT_WRITE)) return "this system keeps the functions of ONNX Runtime from being replaced";
  append = (AppendCuda)table[APPEND_CUDA];
  table[APPEND_CUDA] = (void *)append_with_options;
  mprotect(page, size, PROT_READ);
  api = table;
  return NULL;
}

static Value set_options(Env env, Info info) {
  size_t count = 1, length;
  Value given;
  char text[sizeof options + 1];
  napi_get_cb_info(env, info, &count, &given, NULL, NULL);
  const char *fault = replace();
  if (!fault && (napi_get_value_string_utf8(env, given, text, sizeof text, &length) || length >= sizeof options))
    fault = "the options must be a text of at most 1023 bytes";
  if (fault) napi_throw_error(env, NULL, fault);
  else strcpy(options, text);
  return NULL;
}

static void *function(const char *library, const char *name) {
  void *loaded = dlopen(library, RTLD_LAZY);
  return loaded ? dlsym(loaded, name) : NULL;
}

// "CUDA 13.0, cuDNN 9.24.0", of the libraries that the provider loads; without one that is missing.
static Value libraries(Env env, Info info) {
  (void)info;
  int (*cuda)(int *) = (int (*)(int *))function("libcudart.so.13", "cudaRuntimeGetVersion");
  size_t (*cudnn)(void) = (size_t (*)(void))function("libcudnn.so.9", "cudnnGetVersion");
  char text[64];
  int length = 0, version;
  if (cuda && cuda(&version) == 0) length = sprintf(text, "CUDA %d.%d, ", version / 1000, version % 1000 / 10);
  if (cudnn) {
    version = (int)cudnn();
    length += sprintf(text + length, "cuDNN %d.%d.%d, ", version / 10000, version % 10000 / 100, version % 100);
  }
  Value made;
  napi_create_string_utf8(env, text, length ? (size_t)length - 2 : 0, &made);
  return made;
}

Value napi_register_module_v1(Env env, Value exports) {
  Value made;
  napi_create_function(env, "setOptions", SIZE_MAX, set_options, NULL, &made);
  napi_set_named_property(env, exports, "setOptions", made);
  napi_create_function(env, "libraries", SIZE_MAX, libraries, NULL, &made);
  napi_set_named_property(env, exports, "libraries", made);
  return exports;
}
