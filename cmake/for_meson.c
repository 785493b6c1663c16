/* The one file of the library that Meson makes of ours (see CMakeLists.txt). */
typedef int consul_lock_for_meson;
