"use strict";
/* The chart of a task's page. */
memgym.drawn(memgym.$("#chart figure"), () => memgymChart.draw(memgym.$("#chart figure"), memgym.data.tasks[0], memgym.data.root));
