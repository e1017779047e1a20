// A stand-in for ONNX Runtime and its binding in one: a table of functions whose CUDA provider takes all options but "stubborn", and a
// function for JavaScript that adds the provider to a session on device 3 and says with what, or the fault.
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef void *Env, *Value, *Info;
typedef Value (*Callback)(Env, Info);
int napi_create_function(Env, const char *, size_t, Callback, void *, Value *);
int napi_create_string_utf8(Env, const char *, size_t, Value *);

typedef struct {
  uint32_t version;
  void *(*allocate)(void *, size_t);
  void (*free)(void *, void *);
} Allocator;

static struct {
  int device;
  char options[512];
} cuda;
static char said[1024];

static void *status(int code, const char *message) {
  snprintf(said, sizeof said, "fault %d: %s", code, message);
  return said;
}
static void release(void *self, void *text) { free(text); }
static void *allocator(Allocator **out) {
  static Allocator made = {1, NULL, release};
  *out = &made;
  return NULL;
}
static void *append(int *session, void *options) {
  snprintf(said, sizeof said, "device %d, deterministic %d, options %s", cuda.device, *session, cuda.options);
  return NULL;
}
static void *update(void *options, const char *const *keys, const char *const *values, size_t count) {
  cuda.device = 0;
  cuda.options[0] = 0;
  for (size_t at = 0; at < count; at++)
    if (strcmp(keys[at], "stubborn")) sprintf(cuda.options + strlen(cuda.options), "%s%s=%s", at ? ";" : "", keys[at], values[at]);
  return NULL;
}
static void *as_string(const void *options, Allocator *made, char **text) {
  *text = strdup(cuda.options);
  return NULL;
}
static void *deterministic(int *session, _Bool value) {
  *session = value;
  return NULL;
}

// Read-only once it is loaded, as ONNX Runtime's is.
static void *const table[300] = {
    [0] = status, [78] = allocator, [204] = append, [206] = update, [207] = as_string, [273] = deterministic};
static void *const *get(uint32_t version) { return table; }

void *OrtGetApiBase(void) {
  static void *base[] = {get};
  return base;
}

static Value add(Env env, Info info) {
  int session = 0;
  Value made;
  cuda.device = 3;
  ((void *(*)(int *, void *))((void *const volatile *)table)[204])(&session, &cuda);
  napi_create_string_utf8(env, said, strlen(said), &made);
  return made;
}
Value napi_register_module_v1(Env env, Value exports) {
  napi_create_function(env, "add", SIZE_MAX, add, NULL, &exports);
  return exports;
}
