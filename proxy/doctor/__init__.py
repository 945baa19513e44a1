"""What can be seen of an installation from outside the running program, and what helps where it is not well.

finding        one thing that was looked at
preflight      folders and certificates, before anything is opened
running        the orthanc-proxy that runs with these settings, as it answers by HTTP and DICOM
peers          Orthanc, and whoever is sent to
ports, disk    what the machine grants
scu, path      a query and a retrieve, all the way
remedies       what helps, by the words that say what is wrong
examination    all of it, in the order in which one would look
"""
