/*
 * wsrelayd --attach as one static file, for machines on which nothing can be
 * installed: "make attach".
 */
#include <stdio.h>
#include <string.h>

#include "base/fds.h"
#include "attach/attach.h"

int main(int argc, char **argv)
{
	fds_open_standard();
	if (argc > 1 && strcmp(argv[1], "-V") == 0) {
		printf("wsrelayd " VERSION " (--attach only)\n");
		return 0;
	}
	return attach_main(argc, argv);
}
